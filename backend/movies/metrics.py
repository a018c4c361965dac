"""Metrics: the freshness of responses, and the provider's responses."""

from prometheus_client import REGISTRY as WORKERS
from prometheus_client import Counter

from lockstep.rest.middleware import REGISTRY

ANSWERS = Counter(
    "lockstep_movies_answers",
    "Searches, by how fresh the answer was: fresh, stale, none.",
    ["freshness"],
    registry=REGISTRY,
)
for freshness in ("fresh", "stale", "none"):
    ANSWERS.labels(freshness)  # a series that appears with its first event hides that event from rate()
# Fetching is mostly the worker's, whose metrics are in its own registry.
PROVIDER_ANSWERS = Counter(
    "lockstep_movies_provider_answers", "What the provider answered: a status, or what was wrong.", ["outcome"],
    registry=WORKERS,
)  # fmt: skip
PROVIDER_ANSWERS.labels("200")


def count_outcome(outcome: str) -> None:
    """Counts an attempt at the provider by its outcome."""
    PROVIDER_ANSWERS.labels(outcome).inc()
