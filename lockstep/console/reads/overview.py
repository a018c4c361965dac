"""What the overview shows, read with a constant number of queries (sql/overview.sql)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.apps import apps

from lockstep import console
from lockstep.console.reads.rows import read_in_order, read_rows
from lockstep.delivery.heartbeat import worker_counts, worker_state
from lockstep.delivery.periodic import overdue
from lockstep.delivery.subscriptions import is_declared, registered
from lockstep.sql import statements

SQL = statements(console.__file__, "overview")

MAX_COUNTED = 10_000  # dead letters of one subscription, and other rows that are counted in the order of an index


@dataclass(frozen=True, slots=True)
class Depth:
    """Where the counts stop of changes and objects in one subscription's lanes, and of changes in no lane yet.

    `names` are the members of families with lanes, or with dead letters, that are counted.
    """

    lanes: int
    behind: int
    names: int


# A page is read every few seconds, and rows of lanes are far apart: each is read from disk by itself. A sample is taken
# once a minute.
PAGE, SAMPLE = Depth(lanes=200, behind=1_000, names=500), Depth(lanes=10_000, behind=10_000, names=2_000)


@dataclass(frozen=True, slots=True)
class SubscriptionLine:
    """One subscription, or one family with its `members`. `oldest` is the time of the oldest undelivered change.

    `silent` counts remotes that do not answer. Where not `is_exact`, there is more than was counted.
    """

    name: str
    is_family: bool
    members: int
    paused: int
    full: int
    disabled: int
    reason: str
    silent: int
    silent_since: datetime | None
    silent_cause: str
    is_declared: bool = True
    behind: int = 0
    waiting: int = 0
    objects: int = 0
    failing: int = 0
    cause: str = ""
    dead: int = 0
    last_dead: datetime | None = None
    oldest: datetime | None = None
    is_exact: bool = True

    @property
    def has_more_dead(self) -> bool:
        """Whether there may be more dead letters than were counted."""
        return self.dead >= MAX_COUNTED

    @property
    def undelivered(self) -> int:
        """Changes that wait: those in lanes, and those not yet fanned out."""
        return self.behind + self.waiting

    def lag(self, now: datetime) -> float:
        """Seconds since the oldest undelivered change; 0 for none."""
        return max((now - self.oldest).total_seconds(), 0.0) if self.oldest else 0.0


@dataclass(frozen=True, slots=True)
class LogSize:
    """The log's bytes with its indexes, PostgreSQL's estimate of its rows, and its last change."""

    bytes: int
    rows: int
    weeks: int
    last_seq: int | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of everything at one moment, `at`, by the database's clock."""

    at: datetime
    lines: tuple[SubscriptionLine, ...]
    log: LogSize
    worker_state: str  # "ok", or why no worker delivers
    workers: Mapping[str, int]
    late_work: tuple[str, ...]
    stopped_mirrors: Mapping[str, str]  # the reason by provider
    missing: tuple[str, ...] = ()  # declared subscriptions that have no row yet
    is_cut: bool = False  # more members than `names` have lanes, or dead letters: the others are not counted


def read_overview(depth: Depth = PAGE) -> Overview:
    """Reads the state. Raises DatabaseError."""
    lines, is_cut = read_lines(depth)
    (size, rows, weeks, now), last = read_rows(SQL["log"])[0], read_rows(SQL["last_change"])
    last_seq, last_at = last[0] if last else (None, None)
    return Overview(
        at=now,
        lines=tuple(lines),
        log=LogSize(size, rows, weeks, last_seq, last_at),
        worker_state=worker_state(),
        workers=worker_counts(),
        late_work=tuple(overdue()),
        stopped_mirrors=_stopped_mirrors(),
        missing=tuple(sorted({subscriber.name for subscriber in registered()} - {line.name for line in lines})),
        is_cut=is_cut,
    )


def read_lines(depth: Depth = PAGE) -> tuple[list[SubscriptionLine], bool]:
    """Reads each subscription and family with what waits for it, by name, and whether some were not counted."""
    found = [SubscriptionLine(*row) for row in read_rows(SQL["subscriptions"])]
    lines = {line.name: replace(line, is_declared=is_declared(line.name)) for line in found}
    with_lanes = with_letters = 0
    for name, behind, oldest, has_more in read_rows(SQL["behind"], limit=depth.behind):
        if line := lines.get(name):  # subscriptions may come and go between two queries
            lines[name] = replace(line, behind=behind, oldest=oldest, is_exact=not has_more)
    in_lanes = read_in_order(SQL["waiting"], limit=depth.lanes, names=depth.names)
    for name, members, objects, failing, cause, waiting, oldest, has_more in in_lanes:
        with_lanes += members
        if line := lines.get(name):
            oldest = min(filter(None, (line.oldest, oldest)), default=None)
            is_exact = line.is_exact and not has_more
            lines[name] = replace(
                line, objects=objects, failing=failing, cause=cause, waiting=waiting, oldest=oldest, is_exact=is_exact
            )
    for name, members, dead, last_dead in read_rows(SQL["dead"], limit=MAX_COUNTED, names=depth.names):
        with_letters += members
        if line := lines.get(name):
            lines[name] = replace(line, dead=dead, last_dead=last_dead)
    return [lines[name] for name in sorted(lines)], max(with_lanes, with_letters) >= depth.names


def _stopped_mirrors() -> Mapping[str, str]:
    if not apps.is_installed("lockstep.mirror"):
        return {}
    from lockstep.mirror.state import stops  # an extra, with packages of its own

    return stops()
