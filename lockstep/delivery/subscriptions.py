"""Subscribers: declared by apps in `subscribers.py`.

register(Subscriber(name="posts-mirror", kind="state", models=("posts.post",), connect=connect))

Subscribers that are created and deleted at run time (webhook endpoints) are members of a family.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args
from uuid import UUID

from lockstep.changes.capture import Document, captures
from lockstep.delivery.clock import DatabaseClock
from lockstep.delivery.errors import Receipt
from lockstep.delivery.retry import SCHEDULE

__all__ = ["Change", "Claim", "Handler", "Pool", "Skipped", "Subscriber", "register"]

if TYPE_CHECKING:  # a project that runs its tests on another database declares its subscribers without psycopg
    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow
    from psycopg_pool import AsyncConnectionPool

Pool: TypeAlias = "AsyncConnectionPool[AsyncConnection[TupleRow]]"
Kind = Literal["event", "state"]


NO_MESSAGE = UUID(int=0)  # of a change that was read from the log and not sent


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change of one object, as subscribers receive it.

    `model` is the label of the model in lower case, `object_id` its primary key as text. `before` and `after` are the
    captured columns by name; None before a creation and after a deletion. `seq` orders the changes of one object.
    `transaction` is equal for all changes of one transaction. `id` is the id of the message: unique, and the same
    whenever this change is sent to this subscription; `attempt` counts from 1.
    """

    seq: int
    at: datetime
    model: str
    object_id: str
    kind: Literal["created", "updated", "deleted"]
    before: Document | None
    after: Document | None
    actor: str | None = None
    origin: str | None = None
    trace: str | None = None
    traceparent: str | None = None
    transaction: int | None = None
    id: UUID = NO_MESSAGE
    attempt: int = 1

    @property
    def changed(self) -> frozenset[str]:
        """The names of the columns that differ: all of them in a creation and in a deletion."""
        before, after = self.before or {}, self.after or {}
        return frozenset(name for name in before.keys() | after.keys() if before.get(name, ...) != after.get(name, ...))


@dataclass(slots=True)  # made for every change, and a frozen one takes seven times as long to make
class Claim:
    """A claimed lane, until its lease ends, and the change at its head.

    `attempts` is the number of this attempt, from 1; attempts cut off by a worker's death are not counted. `kind` is
    the subscription's when the head was chosen, and decides which changes its settlement removes. `early`: it was
    brought forward to probe the remote. `silent`: the remote did not answer last time. `clock` is the database's, for
    all outgoing timestamps.
    """

    lane: int
    token: int
    attempts: int
    message_id: UUID
    change: Change
    kind: Kind = "event"
    early: bool = False
    silent: bool = False
    clock: DatabaseClock = field(default_factory=DatabaseClock)
    schedule: tuple[float, ...] = SCHEDULE

    @property
    def sent(self) -> Change:
        """The change with the id of its message and the number of this attempt."""
        return replace(self.change, id=self.message_id, attempt=self.attempts)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A handler's result where there was nothing to send, and the remote was not called."""

    reason: str


Handler = Callable[[Claim], Awaitable[Receipt | Skipped | None]]
WithinHandler = Callable[["AsyncConnection[TupleRow]", Sequence[Claim]], Awaitable[None]]
TransactionalHandler = Callable[[Sequence[Claim]], Awaitable[None]]
DeadLetterHandler = Callable[[Change, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscriber to the changes of some models, and its options.

    `connect` opens the handler's resources (such as a client) once in a worker and yields the handler, which delivers
    one claim or raises a DeliveryError: at least once. A handler that only writes to our own database is given as
    `within` instead: it gets up to `batch` claims of different objects and a connection, on which it writes in the
    transaction of their acknowledgement: exactly once. `transactional` is the same for a handler that settles its
    claims itself (declarations.py). A batch that fails is retried claim by claim.

    `concurrency` limits the handler calls in progress in one worker, `deadline` the seconds of each. Changes whose
    origin is `skip_origin` are not delivered. At `cap` waiting changes fan-out stops until half of them are delivered.
    `recorded` stores every attempt (models.Attempt), with the receipt of the handler or of its error; it is for
    deliveries to other systems. A handler that sent nothing returns Skipped.

    `models` are labels; `follows` are patterns instead of them: "*", "blog.*", "blog.article.*",
    "blog.article.created". The handler skips updates in which no column of `only_changed` differs. `schedule` are the
    seconds before each attempt, the first of them 0. `on_dead_letter` is called with each dead letter's change and
    cause, after the commit; its exceptions are logged.

    The name, `kind`, `follows`, `skip_origin` and `cap` are stored in the subscription's row, and only the row counts:
    workers of two versions of the code may run side by side (decision 46).
    """

    name: str
    kind: Kind
    models: tuple[str, ...] = ()
    connect: Callable[[Pool], AbstractAsyncContextManager[Handler]] | None = field(default=None, repr=False)
    within: WithinHandler | None = field(default=None, repr=False)
    transactional: TransactionalHandler | None = field(default=None, repr=False)
    follows: tuple[str, ...] = ()
    only_changed: tuple[str, ...] = ()
    skip_origin: str | None = None
    batch: int = 1
    concurrency: int = 8
    deadline: float = 30.0
    cap: int = 1_000_000
    recorded: bool = False
    schedule: tuple[float, ...] = SCHEDULE
    on_dead_letter: DeadLetterHandler | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if [self.connect, self.within, self.transactional].count(None) != 2:
            raise ValueError(f"The subscriber {self.name!r} needs one of connect, within and transactional.")
        if self.is_exactly_once and self.recorded:
            raise ValueError(f"The subscriber {self.name!r} keeps no attempts: nothing of it leaves our database.")
        if self.connect and self.batch > 1:
            raise ValueError(f"The subscriber {self.name!r}: only a transactional subscriber has a batch.")
        if fault := self._fault_of_values():
            raise ValueError(f"The subscriber {self.name!r}: {fault}")

    def _fault_of_values(self) -> str:
        """What an option must be; "" where all are valid. With others a worker would deliver nothing, or fail."""
        if self.kind not in get_args(Kind):
            return f'kind must be "event" or "state", not {self.kind!r}.'
        for option in ("concurrency", "batch", "cap"):
            value = getattr(self, option)
            if not isinstance(value, int) or value < 1:
                return f"{option} must be a whole number of at least 1, not {value!r}."
        if not isinstance(self.deadline, int | float) or not (isfinite(self.deadline) and self.deadline > 0):
            return f"deadline must be a number of seconds above 0, not {self.deadline!r}."
        return ""

    @property
    def is_exactly_once(self) -> bool:
        """Whether its handler writes to our database alone, and settles its claims in the same transaction."""
        return self.connect is None

    @property
    def connections(self) -> int:
        """The number of database connections that a worker should have for it."""
        return self.concurrency if self.within else 2

    @property
    def lease(self) -> float:
        """Seconds that a claim holds its lane: longer than the deadline, so that no other worker sends meanwhile."""
        return self.deadline + 5.0

    @property
    def patterns(self) -> list[str]:
        """The patterns of the changes that it follows."""
        return [*self.follows, *(f"{model}.*" for model in self.models)]

    @property
    def row(self) -> dict[str, str | int | list[str] | None]:
        """The columns of its subscription."""
        return {
            "name": self.name,
            "kind": self.kind,
            "follows": self.patterns,
            "skip_origin": self.skip_origin,
            "cap": self.cap,
        }


@dataclass(frozen=True, slots=True)
class Family:
    """Subscribers that are created and deleted at run time.

    Their subscriptions are named "<family>:<key>" and are made and removed by `operations`; `member` returns the
    subscriber of a name. It has a courier only while it has lanes. `owner` describes, by key, the object that owns a
    subscription; None where it no longer exists. `models` are labels of messages to single members
    (`operations.send`), which are in the log without being captured.
    """

    name: str
    member: Callable[[str], Subscriber] = field(repr=False)
    owner: Callable[[str], str | None] = field(default=lambda key: None, repr=False)
    models: tuple[str, ...] = ()

    def subscription(self, key: object) -> str:
        """The name of one member's subscription."""
        return f"{self.name}:{key}"

    @property
    def lease(self) -> float:
        """The lease of its members, which is the same for all."""
        return self.member(self.subscription(UUID(int=0))).lease

    def owner_of(self, subscription: str) -> str | None:
        """The owner of a member's subscription; None for other subscriptions, and where the owner is deleted."""
        family, colon, key = subscription.partition(":")
        return self.owner(key) if colon and family == self.name else None


_registered: dict[str, Subscriber] = {}
_families: dict[str, Family] = {}


def register(subscriber: Subscriber) -> None:
    """Registers a subscriber; raises ValueError when the name is taken."""
    if subscriber.name in _registered:
        raise ValueError(f"There is a subscriber {subscriber.name!r} already.")
    _registered[subscriber.name] = subscriber


def register_family(family: Family) -> None:
    """Registers a family."""
    _families[family.name] = family


def registered_families() -> list[Family]:
    """All families of this project, by name."""
    return [_families[name] for name in sorted(_families)]


def registered() -> list[Subscriber]:
    """All subscribers of this project, by name."""
    return [_registered[name] for name in sorted(_registered)]


def is_declared(name: str) -> bool:
    """Whether this project has a subscriber for the subscription, or a family for it."""
    return name in _registered or name.partition(":")[0] in _families


def logged_models() -> list[str]:
    """The models that the log has changes of: captured ones, and those of messages to members of families."""
    captured = [capture.label for capture in captures()]
    return sorted({*captured, *(model for family in registered_families() for model in family.models)})
