"""What the operations on deliveries select and report."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

__all__ = ["ChangeFilter", "Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """One subscription: its state, and counts of changes not fanned out, changes in lanes, objects, and so on.

    `age` is the age of the oldest undelivered change in seconds; None for none. `silent_since` is when the remote
    stopped answering, and `silent_cause` its latest failure; None while it answers.
    """

    name: str
    kind: str
    state: str
    reason: str
    behind: int
    waiting: int
    objects: int
    failing: int
    dead: int
    age: float | None
    silent_since: datetime | None
    silent_cause: str


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """An open dead letter."""

    id: UUID
    model: str
    object_id: str
    seq: int
    at: datetime
    message_id: UUID
    attempts: int
    cause: str
    died: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What changes, or dead letters, are selected by; None does not restrict them. Times are those of the changes."""

    model: str | None = None
    object_id: str | None = None
    cause: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChangeFilter(Criteria):
    """A selection of one subscription's changes."""

    subscription: str
    letters: tuple[UUID, ...] | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the statements."""
        return asdict(self) | {"letters": None if self.letters is None else list(self.letters)}


@dataclass(frozen=True, slots=True)
class Preview:
    """The changes that a replay would send, and the counts of those it would not: see ReplayResult.

    `waiting` of the changes wait in their lanes already: nothing is added for them.
    """

    changes: int
    objects: int
    first: datetime | None
    last: datetime | None
    not_fanned_out: int = 0
    not_in_log: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The changes that a replay put into lanes: fewer than selected where some wait already, or only states count.

    `not_fanned_out` were left to the relay; the changes of `not_in_log` no longer exist. Dead letters of both stay
    open.
    """

    changes: int
    objects: int
    not_fanned_out: int = 0
    not_in_log: int = 0
