"""Figures: how fresh our answers are, and what the provider answers."""

from prometheus_client import REGISTRY as WORKERS
from prometheus_client import Counter

from lockstep.api.middleware import REGISTRY

ANSWERS = Counter(
    "lockstep_movies_answers",
    "Searches, by how fresh the answer was: fresh, stale, none.",
    ["freshness"],
    registry=REGISTRY,
)
# Fetching is mostly the worker's, whose figures are in its own registry.
PROVIDER_ANSWERS = Counter(
    "lockstep_movies_provider_answers", "What the provider answered: a status, or what was wrong.", ["outcome"],
    registry=WORKERS,
)  # fmt: skip
