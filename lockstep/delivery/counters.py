"""A worker's counters; they count nothing without prometheus-client (the extra `metrics`)."""

import time
from collections.abc import Sequence

from lockstep.delivery.lanes import Outcome

try:
    from prometheus_client import Counter, Histogram
except ImportError:

    class Uncounted:
        """Replaces Counter and Histogram, and counts nothing."""

        def __init__(self, *arguments: object, **options: object) -> None:
            pass

        def labels(self, *values: str) -> "Uncounted":
            """Returns itself."""
            return self

        def inc(self, amount: float = 1) -> None:
            """Does nothing."""

        def observe(self, amount: float) -> None:
            """Does nothing."""

    Counter = Histogram = Uncounted  # type: ignore[misc, assignment]

ATTEMPTS = Counter(
    "lockstep_delivery_attempts",
    "Attempts that ended, by how: delivered, skipped (there was nothing to send), or the kind of failure.",
    ["subscription", "outcome"],
)
DEAD_LETTERS = Counter("lockstep_delivery_dead_letters", "Changes that were given up.", ["subscription"])
SECONDS = Histogram(
    "lockstep_delivery_attempt_seconds",
    "How long attempts took.",
    ["subscription"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0),
)
AGE = Histogram(
    "lockstep_delivery_age_seconds",
    "How old changes were, by the database's clock, when their delivery was settled.",
    ["subscription"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0),
)
UNSETTLED = Counter(
    "lockstep_delivery_settlement_failures",
    "Settlements that the database rejected; they are tried again every second.",
    ["subscription"],
)
FANNED_OUT = Counter("lockstep_delivery_fanned_out_changes", "Changes placed in lanes.", ["subscription"])


def label(subscription: str) -> str:
    """The value of the label `subscription`: a member's family, else the subscription's name."""
    return subscription.partition(":")[0]


class SubscriptionMetrics:
    """The counters of one courier."""

    def __init__(self, subscription: str) -> None:
        self._name = label(subscription)
        self._delivered = ATTEMPTS.labels(self._name, "delivered")
        self._seconds = SECONDS.labels(self._name)
        self._age = AGE.labels(self._name)
        self._dead = DEAD_LETTERS.labels(self._name)
        self._unsettled = UNSETTLED.labels(self._name)

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Counts finished attempts; a final failure is a dead letter."""
        now = time.monotonic()
        tried = [outcome for outcome in outcomes if not outcome.skipped]
        if skipped := len(outcomes) - len(tried):
            ATTEMPTS.labels(self._name, "skipped").inc(skipped)
        for outcome in tried:
            self._seconds.observe(outcome.ended - outcome.began)
            if not outcome.error:
                claim = outcome.claim
                age = (claim.clock.read - claim.change.at).total_seconds() + now - claim.clock.at
                self._age.observe(max(age, 0.0))
        failed = [(outcome, outcome.error) for outcome in tried if outcome.error]
        self._delivered.inc(len(tried) - len(failed))
        for outcome, error in failed:
            ATTEMPTS.labels(self._name, error.failure).inc()
            if outcome.delay is None:
                self._dead.inc()

    def count_unsettled(self) -> None:
        """Counts a settlement that the database rejected."""
        self._unsettled.inc()
