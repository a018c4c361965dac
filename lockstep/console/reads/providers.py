"""Providers: how they answered in the last hour, and what fails (sql/providers.sql)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg.rows import TupleRow

from lockstep import console
from lockstep.changes.commands import counted
from lockstep.console.charts import Point
from lockstep.console.reads.overview import PAGE, SubscriptionLine
from lockstep.console.reads.rows import read_in_order, read_rows
from lockstep.delivery.providers import Freshness, declared_providers
from lockstep.sql import statements

SQL = statements(console.__file__, "providers")

SPAN = timedelta(hours=1)
GAP = timedelta(minutes=1)
# The kinds of lockstep/http/errors.py in words.
OUTCOMES = {
    "": "success",
    "Unreachable": "no answer",
    "Throttled": "throttled",
    "ServerError": "server error",
    "Conflict": "conflict",
    "MalformedResponse": "unreadable answer",
    "Refused": "refused",
    "NotFound": "not found",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Operations that ended in one way within the last hour."""

    kind: str
    operations: int
    seconds: float
    slowest: float
    last: datetime

    @property
    def words(self) -> str:
        return OUTCOMES.get(self.kind, self.kind)

    @property
    def average(self) -> float:
        """Milliseconds."""
        return self.seconds * 1_000 / self.operations

    @property
    def slowest_milliseconds(self) -> float:
        return self.slowest * 1_000


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One provider with everything that is known of it. `failures` are objects by subscription and kind of failure."""

    name: str
    freshness: Freshness | None
    lines: Sequence[SubscriptionLine]
    outcomes: Sequence[Outcome]
    failures: Sequence[tuple[str, str, int]]
    requests: list[Point] = field(default_factory=list)
    failed: list[Point] = field(default_factory=list)
    latency: list[Point] = field(default_factory=list)

    @property
    def operations(self) -> int:
        """All operations of the last hour."""
        return sum(outcome.operations for outcome in self.outcomes)

    @property
    def failed_operations(self) -> int:
        """Those that failed."""
        return sum(outcome.operations for outcome in self.outcomes if outcome.kind)

    @property
    def average(self) -> float:
        """Milliseconds of an operation."""
        return sum(outcome.seconds for outcome in self.outcomes) * 1_000 / max(self.operations, 1)

    @property
    def slowest(self) -> float:
        """Milliseconds of the slowest operation."""
        return max((outcome.slowest_milliseconds for outcome in self.outcomes), default=0.0)

    @property
    def last_success(self) -> datetime | None:
        """The minute of the last success within the hour."""
        return next((outcome.last for outcome in self.outcomes if not outcome.kind), None)

    @property
    def verdict(self) -> str:
        """ "good", "late" or "bad"."""
        if any(line.silent or line.dead or line.paused for line in self.lines):
            return "bad"
        if self.freshness and not self.freshness.is_well:
            return "bad"
        if self.operations and self.failed_operations == self.operations:
            return "bad"
        return "late" if self.failures or self.failed_operations * 20 > self.operations else "good"

    @property
    def words(self) -> str:
        """The verdict in words."""
        if any(line.silent for line in self.lines):
            return "Does not answer."
        return {"good": "Well.", "late": "Some operations fail.", "bad": "Needs attention."}[self.verdict]

    @property
    def sentences(self) -> Iterator[str]:
        """What is wrong, and how fresh our copy is."""
        for line in self.lines:
            if line.paused or line.disabled:
                yield f"{line.name} is {'paused' if line.paused else 'disabled'}: {line.reason}"
            elif line.silent:
                yield f"{line.name} gets no answer: {line.silent_cause}"
            if line.dead:
                yield f"{line.name} has {counted(line.dead, 'dead letter')}."
        for name, failure, count in self.failures:
            yield f"{counted(count, 'object')} of {name}: {failure}."
        if self.freshness:
            yield self.freshness.sentence
        if not self.operations:
            yield "No worker has asked it for anything in the last hour."


def read_providers(lines: Sequence[SubscriptionLine]) -> list[ProviderRow]:
    """The declared providers and those that were asked in the last hour, by name; `lines` are all subscriptions."""
    declared = {provider.name: provider for provider in declared_providers()}
    outcomes, minutes = defaultdict[str, list[Outcome]](list), defaultdict[str, list[TupleRow]](list)
    for name, *columns in read_rows(SQL["outcomes"], span=SPAN):
        outcomes[name].append(Outcome(*columns))
    for name, *columns in read_rows(SQL["minutes"], span=SPAN):
        minutes[name].append(tuple(columns))
    names = [name for provider in declared.values() for name in provider.subscriptions]
    failing = read_in_order(SQL["failures"], names=names, limit=PAGE.lanes)
    failures = [(name, failure, count) for name, failure, count in failing]
    rows = []
    for name in sorted({*declared, *outcomes}):
        provider = declared.get(name)
        own = provider.subscriptions if provider else ()
        read = provider.freshness if provider else None
        rows.append(
            ProviderRow(
                name,
                read() if read else None,
                [line for line in lines if line.name in own],
                outcomes[name],
                [failure for failure in failures if failure[0] in own],
                requests=_points(minutes[name], 1),
                failed=_points(minutes[name], 2),
                latency=[(at, value and value * 1_000) for at, value in _points(minutes[name], 3)],
            )
        )
    return rows


def _points(minutes: Sequence[TupleRow], column: int) -> list[Point]:
    """A column over time, with a gap where nothing was asked."""
    points: list[Point] = []
    for row in minutes:
        if points and row[0] - points[-1][0] > GAP:
            points.append((points[-1][0], None))
        points.append((row[0], float(row[column])))
    return points
