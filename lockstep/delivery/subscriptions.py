"""What an app declares to be told of changes, in its `subscribers.py`.

register(Subscriber(name="posts-mirror", kind="state", models=("posts.post",), connect=connect))

Subscribers that come and go while the system runs (a webhook endpoint is one) are members of a family.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from lockstep.changes.capture import models_to_capture
from lockstep.delivery.clock import DatabaseClock

Pool = AsyncConnectionPool[AsyncConnection[Any]]
Kind = Literal["event", "state"]


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the change log, as a subscriber gets it."""

    seq: int
    at: datetime
    model: str
    object_id: str
    kind: Literal["created", "updated", "deleted"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    actor: str | None = None
    origin: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A lane that is ours until its lease ends, and the change at its head.

    `attempts` is the number of this one, from 1; what a worker's death cut short is not counted. `kind` is that of the
    subscription when the head was chosen, and decides what is done with when this claim is settled. `early`: it was
    brought forward, because the remote might answer again. `silent`: the remote did not answer the last time. `clock`
    is the database's: whatever leaves us with a time takes it from there.
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


@dataclass(frozen=True, slots=True)
class Skipped:
    """A handler's result where there was nothing to send: the remote was not asked, and nothing is known of it."""

    reason: str


Receipt = dict[str, Any]  # what a handler has to tell of an attempt, as JSON
Handler = Callable[[Claim], Awaitable[Receipt | Skipped | None]]
WithinHandler = Callable[[AsyncConnection[Any], Sequence[Claim]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who is told of the changes of some models, and how.

    `connect` opens what the handler needs (a client, say) for the life of a worker and yields the handler, which
    delivers one claim and raises a DeliveryError where it cannot: at least once. A handler that only writes to our own
    database is given as `within` instead: it gets up to `batch` claims of different objects at once and writes through
    the connection that it gets, in the transaction of their ack: exactly once. A batch that fails is tried one by one.

    `concurrency` bounds the handlers at work in one worker, `deadline` (seconds) each of them. Changes whose origin is
    `skip_origin` are not delivered. With `cap` changes waiting it takes no more until half of them are delivered.
    `recorded` keeps every attempt for a week, with the receipt that the handler returned or its error carried; it is
    for what leaves our database. A handler that sent nothing returns Skipped.

    The name, `kind`, `models`, `skip_origin` and `cap` are written into the subscription's row, and only the row
    counts: workers of two versions of the code may stand side by side (decision 46).
    """

    name: str
    kind: Kind
    models: tuple[str, ...]
    connect: Callable[[Pool], AbstractAsyncContextManager[Handler]] | None = field(default=None, repr=False)
    within: WithinHandler | None = field(default=None, repr=False)
    skip_origin: str | None = None
    batch: int = 1
    concurrency: int = 8
    deadline: float = 30.0
    cap: int = 1_000_000
    recorded: bool = False

    def __post_init__(self) -> None:
        if (self.connect is None) == (self.within is None):
            raise ValueError(f"The subscriber {self.name!r} needs either connect or within.")
        if self.within and self.recorded:
            raise ValueError(f"The subscriber {self.name!r} keeps no attempts: nothing of it leaves our database.")
        if self.connect and self.batch > 1:
            raise ValueError(f"The subscriber {self.name!r} has a batch, which only one within our database can have.")

    @property
    def connections(self) -> int:
        """How many database connections a worker should have for it."""
        return self.concurrency if self.within else 2

    @property
    def lease(self) -> float:
        """Seconds that a claim holds its lane: longer than the deadline, so that nobody else sends meanwhile."""
        return self.deadline + 5.0

    @property
    def row(self) -> dict[str, Any]:
        """What the database keeps of it, and goes by."""
        return {
            "name": self.name,
            "kind": self.kind,
            "follows": [f"{model}.*" for model in self.models],
            "skip_origin": self.skip_origin,
            "cap": self.cap,
        }


@dataclass(frozen=True, slots=True)
class Family:
    """Subscribers that come and go while the system runs.

    Their subscriptions are named "<family>:<key>" and are made and removed by `operations`; `member` makes the
    subscriber of one, by its name. It has a courier only while something waits for it. `owner` says, by its key, what
    has a subscription and takes it along when it is deleted; None where there is no such thing any more. `models` are
    what is sent to single members (`operations.send`), and is in the log without being captured.
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
        """That of its members, who have the same."""
        return self.member(self.subscription(UUID(int=0))).lease

    def owner_of(self, subscription: str) -> str | None:
        """What the subscription of a member belongs to; None for any other, and where that is deleted."""
        family, colon, key = subscription.partition(":")
        return self.owner(key) if colon and family == self.name else None


_registered: dict[str, Subscriber] = {}
_families: dict[str, Family] = {}


def register(subscriber: Subscriber) -> None:
    """Makes a subscriber known; raises ValueError when the name is taken."""
    if subscriber.name in _registered:
        raise ValueError(f"There is a subscriber {subscriber.name!r} already.")
    _registered[subscriber.name] = subscriber


def register_family(family: Family) -> None:
    """Makes a family known."""
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
    """Whatever the log has changes of: the models that are captured, and what is sent to members of families."""
    captured = [model._meta.label_lower for model in models_to_capture()]
    return sorted({*captured, *(model for family in registered_families() for model in family.models)})
