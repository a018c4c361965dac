"""Reads of subscriptions: what waits for each, and why (sql/subscriptions.sql)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from lockstep import console
from lockstep.console.reads.rows import read_in_order, read_rows
from lockstep.console.words import is_storable
from lockstep.delivery.operations import EVERYTHING, UnknownSubscription
from lockstep.delivery.subscriptions import is_declared
from lockstep.sql import statements

SQL = statements(console.__file__, "subscriptions")

MOST_LISTED, MOST = 100, 1_000  # changes, lanes and letters that are read for a subscription: in a list, and alone
MOST_FAILING = 500  # lanes among which failing ones are looked for
MOST_ATTEMPTS = 3_000
MOST_REWOUND = 10_000  # changes of the log, which lie side by side
# Seconds; the first bucket is below the first bound, the last one above the last.
BOUNDS = (1.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0)


@dataclass(frozen=True, slots=True)
class Count:
    """A number that was counted up to a limit."""

    number: int
    is_least: bool = False  # there are as many or more

    def __str__(self) -> str:
        return f"{self.number:,}+" if self.is_least else f"{self.number:,}"

    def __bool__(self) -> bool:
        return self.number > 0


@dataclass(frozen=True, slots=True)
class Family:
    """A family, folded: how many members in each state, not answering, with waiting changes and with dead letters."""

    name: str
    members: int
    active: int
    paused: int
    full: int
    disabled: int
    silent: int
    waiting: int
    dead: int


@dataclass(frozen=True, slots=True)
class State:
    """One subscription with what waits for it.

    `behind` are changes that are committed and in no lane yet, of `scanned` ones of all models; `waiting` those in
    lanes. `oldest` is the time of the oldest of both, `next_at` of the next attempt after a failure. While a window is
    open, `resumes_at` is its next number and `window_last` its last.
    """

    name: str
    kind: str
    state: str
    reason: str
    follows: tuple[str, ...]
    skip_origin: str | None
    cap: int
    created: datetime
    silent_since: datetime | None
    silent_cause: str
    resumes_at: int | None
    window_last: int | None
    scanned: Count
    behind: Count
    objects: Count
    failing: Count
    waiting: Count
    oldest: datetime | None
    next_at: datetime | None
    dead: Count
    now: datetime

    @property
    def family(self) -> str:
        """The name of its family; "" for none."""
        family, colon, _ = self.name.partition(":")
        return family if colon else ""

    @property
    def is_declared(self) -> bool:
        """Whether this project has a subscriber for it."""
        return is_declared(self.name)

    @property
    def pending(self) -> Count:
        """Everything that waits, in lanes and before them."""
        return Count(self.behind.number + self.waiting.number, self.behind.is_least or self.waiting.is_least)

    @property
    def age(self) -> float:
        """Seconds since the oldest change that waits; 0 for none."""
        return max((self.now - self.oldest).total_seconds(), 0.0) if self.oldest else 0.0

    @property
    def verdict(self) -> str:
        """The state in one word for a badge: that of the row, else what is wrong."""
        if self.state != "active":
            return self.state
        if self.silent_since:
            return "silent"
        return "failing" if self.failing else "active"


@dataclass(frozen=True, slots=True)
class WaitingTimes:
    """How many changes have waited less than a time and longer than the one before: in lanes, and in the log alone."""

    words: str
    in_lanes: int
    in_log: int

    @property
    def total(self) -> int:
        return self.in_lanes + self.in_log


@dataclass(frozen=True, slots=True)
class FailingObject:
    """An object whose last attempt failed, with what waits for it."""

    model: str
    object_id: str
    failure: str
    cause: str
    attempts: int
    next_at: datetime
    waiting: Count


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One recorded attempt."""

    id: UUID
    message_id: UUID
    model: str
    object_id: str
    kind: str
    number: int
    began: datetime
    seconds: float
    failure: str | None
    cause: str

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1_000


@dataclass(frozen=True, slots=True)
class Extent:
    """What a rewind would send: the log's changes from `first` to `last`, of which the first ones were read.

    `changes` of these are followed, of so many `objects`. `is_whole`: all were read.
    """

    first: int | None
    last: int | None
    scanned: int
    changes: int
    objects: int
    first_at: datetime | None
    last_at: datetime | None

    @property
    def is_whole(self) -> bool:
        return self.scanned < MOST_REWOUND


def families() -> list[Family]:
    """All families with members, by name."""
    return [Family(*row) for row in read_rows(SQL["families"])]


def page_of_states(
    *, after: str = "", family: str | None = None, contains: str | None = None, state: str | None = None, limit: int
) -> list[State]:
    """The next subscriptions of a family, or of none, by name."""
    chosen = SQL["states"].with_parts(chosen=SQL["page"])
    rows = read_in_order(
        chosen, after=after, family=family, contains=contains, state=state, limit=limit, most=MOST_LISTED
    )
    return [_state(row, MOST_LISTED) for row in rows]


def state_of(name: str) -> State:
    """One subscription. Raises UnknownSubscription."""
    chosen = SQL["states"].with_parts(chosen=SQL["one"])
    rows = read_in_order(chosen, name=name, most=MOST) if is_storable(name) else []
    if not rows:
        raise UnknownSubscription(f"There is no subscription {name!r}.")
    return _state(rows[0], MOST)


def waiting_times(name: str) -> list[WaitingTimes]:
    """How long what waits has waited: one row for each bucket, also for empty ones."""
    rows = read_in_order(SQL["waiting_times"], name=name, most=MOST, bounds=[*BOUNDS])
    found = {bucket: counts for bucket, *counts in rows}
    words = ("under 1 s", "1 to 10 s", "10 s to 1 min", "1 to 10 min", "10 min to 1 h", "1 h to 1 day", "over 1 day")
    return [WaitingTimes(text, *found.get(bucket, (0, 0))) for bucket, text in enumerate(words)]


def failing(name: str, *, limit: int) -> list[FailingObject]:
    """The objects whose last attempt failed, in the order of their next attempts."""
    rows = read_in_order(SQL["failing"], name=name, most=MOST_FAILING, limit=limit)
    return [FailingObject(*(*row[:-1], _count(row[-1], MOST_FAILING))) for row in rows]


def latest_attempts(name: str, *, limit: int) -> list[AttemptRow]:
    """The latest recorded attempts."""
    return [AttemptRow(*row) for row in read_rows(SQL["attempts"], name=name, limit=limit)]


def attempts_by_minute(name: str) -> list[tuple[datetime, int, int]]:
    """Recorded attempts of the last hour: the minute, those that succeeded, those that failed."""
    rows = read_rows(SQL["attempts_by_minute"], name=name, most=MOST_ATTEMPTS)
    return [(at, done, failed) for at, done, failed in rows]


def rewind_extent(name: str, since: datetime | None) -> Extent:
    """What a rewind to this time, or to the log's beginning, would send."""
    (row,) = read_rows(SQL["extent"], name=name, since=since or EVERYTHING, most=MOST_REWOUND)
    return Extent(*row)


def _state(row: TupleRow, most: int) -> State:
    name, kind, state, reason, follows, *own = row
    skip_origin, cap, created, silent_since, silent_cause, resumes_at, window_last, *counts = own
    scanned, behind, objects, failing, waiting, oldest, next_at, dead, now = counts
    is_cut = scanned >= most
    return State(
        name, kind, state, reason, tuple(follows), skip_origin, cap, created, silent_since, silent_cause,
        resumes_at, window_last, _count(scanned, most), Count(behind, is_cut), _count(objects, most),
        Count(failing, objects >= most), _count(waiting, most), oldest, next_at, _count(dead, most), now,
    )  # fmt: skip


def _count(number: int, most: int) -> Count:
    return Count(number, number >= most)
