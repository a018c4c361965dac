"""Figures for monitoring, in Prometheus's words.

What waits is in the database and the same whoever asks: the web server shows it. What was done is counted by each
worker, which shows it at a port of its own. Members of a family are one figure together: there may be thousands.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lockstep.delivery import operations
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.operations import Status

ATTEMPTS = Counter(
    "lockstep_delivery_attempts",
    "Attempts that ended, by how: delivered, skipped (there was nothing to send), or the kind of failure.",
    ["subscription", "outcome"],
)
DEAD_LETTERS = Counter("lockstep_delivery_dead_letters", "Changes that were given up.", ["subscription"])
SECONDS = Histogram("lockstep_delivery_attempt_seconds", "How long attempts took.", ["subscription"])
FANNED_OUT = Counter("lockstep_delivery_fanned_out_changes", "Changes placed in lanes.", ["subscription"])

GAUGES = {
    "behind": "Changes that are committed and in no lane yet.",
    "waiting": "Changes that wait in lanes.",
    "objects": "Objects for which something waits.",
    "failing": "Objects whose last attempt failed.",
    "dead": "Dead letters that nobody has settled.",
    "stopped": "Subscriptions that are paused, full or disabled.",
    "oldest_seconds": "Age of the oldest change that is not delivered; 0 when there is none.",
}


def label(subscription: str) -> str:
    """The name under which a subscription is counted."""
    return subscription.partition(":")[0]


class Figures:
    """What one courier counts."""

    def __init__(self, subscription: str) -> None:
        self._name = label(subscription)
        self._delivered = ATTEMPTS.labels(self._name, "delivered")
        self._seconds = SECONDS.labels(self._name)

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Attempts that ended; a failure that is final is a dead letter."""
        tried = [outcome for outcome in outcomes if not outcome.skipped]
        if skipped := len(outcomes) - len(tried):
            ATTEMPTS.labels(self._name, "skipped").inc(skipped)
        for outcome in tried:
            self._seconds.observe(outcome.ended - outcome.began)
        failed = [(outcome, outcome.error) for outcome in tried if outcome.error]
        self._delivered.inc(len(tried) - len(failed))
        for outcome, error in failed:
            ATTEMPTS.labels(self._name, error.failure).inc()
            if outcome.delay is None:
                DEAD_LETTERS.labels(self._name).inc()


class Subscriptions(Collector):
    """What the database says of the subscriptions at the moment of asking."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One family a figure, one sample a subscription."""
        figures = _figures(operations.status())
        for name, text in GAUGES.items():
            family = GaugeMetricFamily(f"lockstep_subscription_{name}", text, labels=["subscription"])
            for subscription, values in figures.items():
                family.add_metric([subscription], values[name])
            yield family


def exposition() -> bytes:
    """The figures of the database in the text format."""
    registry = CollectorRegistry()
    registry.register(Subscriptions())
    return generate_latest(registry)


def _figures(rows: Sequence[Status]) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(GAUGES, 0.0))
    for row in rows:
        values = figures[label(row.name)]
        for name in ("waiting", "objects", "failing", "dead"):
            values[name] += getattr(row, name)
        values["stopped"] += row.state != "active"
        if row.state != "disabled":
            values["behind"] += row.behind
            values["oldest_seconds"] = max(values["oldest_seconds"], row.age or 0.0)
    return figures
