"""Metrics for Prometheus.

The web server exposes gauges of the database, which are the same for every process. Each worker exposes its counters at
a port of its own. Members of a family share one series, because there may be thousands.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lockstep.conf import lockstep_settings, log_connection
from lockstep.delivery import operations
from lockstep.delivery.clock import offset
from lockstep.delivery.counters import label
from lockstep.delivery.heartbeat import worker_counts
from lockstep.delivery.periodic import overdue, registered_names
from lockstep.delivery.reports import Status
from lockstep.delivery.subscriptions import registered
from lockstep.sql import statements

FIGURES = statements(__file__, "figures")
UPKEEP = statements(__file__, "upkeep")

GAUGES = {
    "behind": "Changes that are committed and in no lane yet.",
    "waiting": "Changes that wait in lanes.",
    "objects": "Objects for which something waits.",
    "failing": "Objects whose last attempt failed.",
    "dead": "Dead letters that are neither replayed nor discarded.",
    "stopped": "Subscriptions that are paused, full or disabled.",
    "oldest_seconds": "Age of the oldest change that is not delivered; 0 when there is none.",
}


class Subscriptions(Collector):
    """Gauges of the subscriptions, read from the database at each scrape."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One family for each gauge, one sample for each subscription."""
        figures = _figures(operations.status())
        for name, text in GAUGES.items():
            samples = {subscription: values[name] for subscription, values in figures.items()}
            yield gauge(f"lockstep_subscription_{name}", text, "subscription", samples)


class Workers(Collector):
    """Gauges of the workers by the state in their rows, late periodic work, and replaced declarations."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Every state and every name has a sample: a missing sample is not the same as 0."""
        yield gauge(
            "lockstep_workers",
            "Workers, by state: moving, hanging (a part does not move), silent (no sign of life for 10 to 60 s).",
            "state",
            worker_counts(),
        )
        late = overdue()
        yield gauge(
            "lockstep_periodic_work_late",
            "1 where no worker did this work for much longer than its interval.",
            "work",
            {name: name in late for name in registered_names()},
        )
        replaced = _replaced()
        yield gauge(
            "lockstep_declaration_replaced",
            "1 where another version of the code has declared the subscription otherwise than this web server's.",
            "subscription",
            {subscriber.name: subscriber.name in replaced for subscriber in registered()},
        )


class Database(Collector):
    """Gauges of long transactions, replication slots and the log's size in PostgreSQL, and of its clock's offset."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The transactions of other roles are included only where the role is a member of pg_read_all_stats."""
        with log_connection().cursor() as cursor:
            cursor.execute(FIGURES["oldest_transactions"])
            transactions = cursor.fetchone()
            cursor.execute(FIGURES["slots"])
            slots = dict(cursor.fetchall())
            cursor.execute(FIGURES["log"], {"days": lockstep_settings.RETENTION_DAYS})
            log_bytes, overdue = cursor.fetchone()
            before = time.time()
            cursor.execute(FIGURES["time"])
            yield offset_figure(offset(cursor.fetchone()[0], before, time.time()))
        yield gauge(
            "lockstep_database_oldest_transaction_seconds",
            "Age of the oldest transaction of the cluster, by kind; 0 when there is none.",
            "kind",
            dict(zip(("open", "prepared"), transactions, strict=True)),
        )
        yield gauge(
            "lockstep_database_slot_retained_wal_bytes",
            "Bytes of the write-ahead log that a replication slot keeps.",
            "slot",
            slots,
        )
        yield GaugeMetricFamily(
            "lockstep_database_change_log_bytes", "Bytes of the change log with its indexes.", value=log_bytes
        )
        yield GaugeMetricFamily(
            "lockstep_database_change_log_overdue_partitions",
            "Partitions (weeks) of the change log that are past retention and still there.",
            value=overdue,
        )


def gauge(name: str, text: str, label: str, samples: Mapping[str, float]) -> GaugeMetricFamily:
    """A family with one sample for each value of its label."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, sample in samples.items():
        family.add_metric([value], sample)
    return family


def exposition(*others: Collector) -> bytes:
    """The metrics of the database in the text format; `others` are collectors of other apps."""
    registry = CollectorRegistry()
    for collector in (Subscriptions(), Workers(), Database(), *others):
        registry.register(collector)
    return generate_latest(registry)


class Clock(Collector):
    """The offset of a worker's clock from the database's, at its last beat."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """One sample, or none before the first beat."""
        yield offset_figure(self._seconds)


def worker_exposition(clock_offset: float | None) -> tuple[str, bytes]:
    """The metrics of a worker, with their content type."""
    own = CollectorRegistry()
    own.register(Clock(clock_offset))
    return CONTENT_TYPE_LATEST, generate_latest() + generate_latest(own)


def _replaced() -> set[str]:
    declared = json.dumps([subscriber.row for subscriber in registered()])
    with log_connection().cursor() as cursor:
        cursor.execute(UPKEEP["replaced_declarations"], {"declared": declared})
        return {name for (name,) in cursor.fetchall()}


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


def offset_figure(seconds: float | None) -> GaugeMetricFamily:
    """The gauge of a clock's offset; without a sample before the first reading."""
    family = GaugeMetricFamily(
        "lockstep_clock_offset_seconds", "By how many seconds this process's clock is ahead of the database's."
    )
    if seconds is not None:
        family.add_metric([], seconds)
    return family
