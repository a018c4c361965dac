"""Attribution of changes to an actor, origin, request and span: passed to the database with SET LOCAL.

The columns of the change log are filled from these settings, so a change written by any statement of the transaction
(bulk_update, raw SQL, a cascade) carries them too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import MappingProxyType
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.base import ServerBindingCursor

from lockstep import telemetry
from lockstep.changes.context import current_trace
from lockstep.changes.wakeup import commit_notifier
from lockstep.conf import is_testing, lockstep_settings, log_connection
from lockstep.sql import Statement, statements

__all__ = [
    "ATTRIBUTED",
    "Actor",
    "attributed_transaction",
    "attribution",
    "confirm",
    "confirmation_sql",
    "notify_on_commit",
    "refuse_unless",
]

SQL = statements(__file__, "attribution")
UNCONFIRMED = Statement("true")  # the confirmation of an actor that needs none
ATTRIBUTED = SQL["attributed"]  # columns that set the attribution, with the parameters of `attribution`


class Actor(str):
    """The name of an actor in the change log, such as "user:<id>", which is confirmed by each transaction that writes.

    `sql` is a boolean expression over `parameters`: true when the actor may still write. It locks the rows that it
    reads, so that the right cannot be withdrawn before the transaction ends.

    A plain string is an actor that needs no confirmation: the system itself, or a command. So is one without `sql`.
    """

    sql: Statement = UNCONFIRMED
    parameters: Mapping[str, object] = MappingProxyType({})

    def refusal(self, confirmed: bool | None) -> Exception:
        """The error where the expression was not true."""
        raise NotImplementedError


def attribution(*, actor: str = "", origin: str = "", trace: str | None = None) -> dict[str, object]:
    """Actor, origin, trace and traceparent as the parameters of `ATTRIBUTED`, in its order, and those of the actor.

    The trace is that of the current request or command, unless it is given. A statement that is a transaction by itself
    must select `ATTRIBUTED`, which sets them, and write only if the actor's `confirmation_sql` is true. Its caller
    passes the result of that to `refuse_unless`, and calls `notify_on_commit` afterwards.
    """
    own = actor.parameters if isinstance(actor, Actor) else {}
    return {
        "lockstep_actor": str(actor),
        "lockstep_origin": origin,
        "lockstep_trace": current_trace.get() if trace is None else trace,
        "lockstep_traceparent": telemetry.traceparent() if telemetry.active else "",
        **own,
    }


def confirmation_sql(actor: str) -> Statement:
    """A boolean expression over the parameters of `attribution`: whether this actor may write."""
    return actor.sql if isinstance(actor, Actor) else UNCONFIRMED


def refuse_unless(confirmed: bool | None, actor: str) -> None:
    """Raises the actor's error unless it was confirmed."""
    if confirmed is not True and isinstance(actor, Actor):
        raise actor.refusal(confirmed)


def confirm(actor: str) -> None:
    """Confirms an actor for a request that writes nothing, such as a replayed response. Raises its error."""
    if isinstance(actor, Actor):
        refuse_unless(_is_confirmed(confirm_statement(actor), actor.parameters), actor)


def confirm_statement(actor: Actor) -> Statement:
    """A statement of one row and column: whether this actor may write."""
    return SQL["confirm"].with_parts(confirmed=actor.sql)


@cache
def _set_local(confirmed: Statement) -> Statement:
    return SQL["set_local"].with_parts(confirmed=confirmed)


def set_local(*, origin: str, trace: str) -> tuple[Statement, dict[str, object]]:
    """The statement and parameters that attribute a transaction of a connection other than Django's."""
    return _set_local(UNCONFIRMED), attribution(origin=origin, trace=trace)


def notify_on_commit() -> None:
    """Notifies readers of the change log once the current transaction is committed, for all of its writes.

    Not in tests, whose databases are dropped, and not where the project commits by itself (autocommit is off), because
    Django has no hook for that: readers also poll.
    """
    if is_testing() and not commit_notifier.in_tests:
        return
    connection = log_connection()
    if connection.in_atomic_block:
        waiting = connection.run_on_commit
        savepoints = set(connection.savepoint_ids)
        # Usually the first hook of the transaction, or the one of the write before; the others may be many.
        for of_savepoints, hook, *_ in (*waiting[:1], *waiting[-1:]):
            if hook == commit_notifier.notify and of_savepoints <= savepoints:
                return
    elif not connection.get_autocommit():
        return
    transaction.on_commit(commit_notifier.notify, using=connection.alias)


@contextmanager
def attributed_transaction(*, actor: str = "", origin: str = "") -> Iterator[None]:
    """A transaction whose changes have this actor ("user:<id>") and origin (a provider, or "" for our own).

    An `Actor` is confirmed in the same round trip, until the transaction ends. Raises its error where it may no longer
    write.

    A change is not delivered to subscriptions that skip its origin. Nested inside another one it is a savepoint, and
    its attribution applies from there on. Its commit notifies readers of the change log.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
        statement = _set_local(confirmation_sql(actor))
        refuse_unless(_is_confirmed(statement, attribution(actor=actor, origin=origin)), actor)
        notify_on_commit()
        yield


def _is_confirmed(statement: str, parameters: Mapping[str, object]) -> bool | None:
    """The first column of the row: whether the actor may write. The statement is prepared, unlike those of the ORM."""
    connection: Any = log_connection()  # the stubs lack most of PostgreSQL's
    connection.ensure_connection()
    with connection.wrap_database_errors:
        plain: Any = ServerBindingCursor  # the stubs have other parameters
        cursor = plain(connection.connection)
        if connection.queries_logged:
            cursor = connection._prepare_cursor(cursor)
        cursor.execute(statement, parameters)
        confirmed: bool | None = cursor.fetchone()[0]
        return confirmed
