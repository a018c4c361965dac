"""Who made a change, on whose behalf, and in which request: carried to the database with SET LOCAL.

The capture triggers read the three settings, so a change written by any statement of the transaction
(bulk_update, raw SQL, a cascade) carries them too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.postgresql.base import ServerBindingCursor

from lockstep.changes.wakeup import announcer

_trace: ContextVar[str] = ContextVar("trace", default="")

SET_LOCAL = (
    "SELECT {confirmed}, set_config('lockstep.actor', %(actor)s, true),"
    " set_config('lockstep.origin', %(origin)s, true), set_config('lockstep.trace', %(trace)s, true)"
)


class Confirmation(Protocol):
    """How the database confirms, within the transaction that writes, that an actor may still write.

    `sql` is a boolean expression over `parameters`: true when the actor may write. It locks what it reads, so that
    nothing of it is withdrawn before the transaction ends.
    """

    @property
    def sql(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    def refusal(self, confirmed: bool | None) -> Exception:
        """The error for an actor whose expression was not true."""


class Actor(str):
    """The name of an actor in the change log, such as "user:<id>", and how the actor's right to write is confirmed.

    A plain string is an actor that needs no confirmation: the system itself, or a command.
    """

    __slots__ = ("confirmation",)
    confirmation: Confirmation

    def __new__(cls, name: str, confirmation: Confirmation) -> "Actor":
        actor = super().__new__(cls, name)
        actor.confirmation = confirmation
        return actor


def current_trace() -> str:
    """The request or command that is being carried out; "" for none."""
    return _trace.get()


class tracing:
    """Everything written inside carries this trace (the request's id, a command's name).

    What `contextmanager` makes of a function does the same at five times the price, and one comes with each request.
    """

    __slots__ = ("token", "trace")

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __enter__(self) -> None:
        self.token = _trace.set(self.trace)

    def __exit__(self, *error: object) -> None:
        _trace.reset(self.token)


def attribution(*, actor: str = "", origin: str = "") -> dict[str, Any]:
    """Actor, origin and trace as parameters of a statement that sets them itself, and is a transaction by itself.

    It has to set `lockstep.actor`, `lockstep.origin` and `lockstep.trace` to them, and to write nothing unless
    `confirmation_sql` of the actor is true. The caller passes that result to `refuse_unless`, and calls
    `announce_commit` afterwards.
    """
    own = actor.confirmation.parameters if isinstance(actor, Actor) else {}
    return {"actor": str(actor), "origin": origin, "trace": _trace.get(), **own}


def confirmation_sql(actor: str) -> str:
    """A boolean expression, over the parameters of `attribution`: whether this actor may write."""
    return actor.confirmation.sql if isinstance(actor, Actor) else "true"


def refuse_unless(confirmed: bool | None, actor: str) -> None:
    """Raises the actor's own error when its confirmation was not true."""
    if confirmed is not True and isinstance(actor, Actor):
        raise actor.confirmation.refusal(confirmed)


def confirm(actor: str) -> None:
    """Confirms an actor for a request that writes nothing, such as an answer that is replayed. Raises its error."""
    if isinstance(actor, Actor):
        refuse_unless(_first_value(f"SELECT {actor.confirmation.sql}", actor.confirmation.parameters), actor)


def set_local(*, origin: str, trace: str) -> tuple[str, dict[str, str]]:
    """The statement, and its parameters, that attributes a transaction of another connection than Django's."""
    return SET_LOCAL.format(confirmed="true"), {"actor": "", "origin": origin, "trace": trace}


def announce_commit() -> None:
    """Those who read the change log are told once what was written just now is committed."""
    transaction.on_commit(announcer.announce)


@contextmanager
def attributed_transaction(*, actor: str = "", origin: str = "") -> Iterator[None]:
    """A transaction whose changes name their actor ("user:<id>") and origin (a provider, or "" for ourselves).

    An `Actor` is confirmed in the same round trip, and stays entitled until the transaction ends: its error is raised,
    and nothing written, when it may no longer write.

    A change whose origin equals a subscription's own is not delivered to it: nothing is echoed back. Nested inside
    another one it is a savepoint, and its attribution holds from there on. Once it is committed, those who read the
    change log are told.
    """
    with transaction.atomic():
        statement = SET_LOCAL.format(confirmed=confirmation_sql(actor))
        refuse_unless(_first_value(statement, attribution(actor=actor, origin=origin)), actor)
        announce_commit()
        yield


def _first_value(statement: str, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever the statement gives
    """The first column of the row that a statement gives; planned once for each connection, unlike the ORM's own."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    connection.ensure_connection()
    with connection.wrap_database_errors:
        plain: Any = ServerBindingCursor  # the stubs know another one
        cursor: Any = plain(connection.connection)
        if connection.queries_logged:
            cursor = connection._prepare_cursor(cursor)
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]
