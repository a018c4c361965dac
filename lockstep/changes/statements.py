"""Sets the attribution in the database with Django's writing statements, and notifies workers of commits.

Once for each transaction, before its first writing statement. In autocommit mode each statement carries it in the same
message: a second round trip would double the time of a short write.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg import ClientCursor
from psycopg.pq import TransactionStatus

from lockstep.changes.attribution import attribution, notify_on_commit
from lockstep.changes.context import Attribution, attribution_here
from lockstep.changes.schema_editor import is_followed
from lockstep.sql import Statement, joined, statements

# What a statement that writes begins with, after comments. Possessive (`*+`): each comment has one end only. WITH may
# begin one that only reads.
WRITES = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*+"
    r"(?:(?:INSERT|UPDATE|DELETE|MERGE|COPY|TRUNCATE|CALL|DO)\b|WITH\b.*?\b(?:INSERT|UPDATE|DELETE|MERGE)\b)",
    re.IGNORECASE | re.DOTALL,
)
# Of Django's wrappers: a statement's parameters, and its connection and cursor.
Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any] | None
Context: TypeAlias = dict[str, Any]
Execute: TypeAlias = Callable[[str, Parameters, bool, Context], object]
SQL = statements(__file__, "attribution")


def _parameters(current: Attribution) -> dict[str, str]:
    found = attribution(actor=str(current.name), origin=current.origin)
    return {name: str(value) for name, value in found.items()}


def follow_connections() -> None:
    """Installs the wrapper on every connection to the database with the change log."""
    connection_created.connect(_follow, dispatch_uid="lockstep")


def _follow(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    if is_followed(connection) and not any(isinstance(each, _Wrapper) for each in connection.execute_wrappers):
        connection.execute_wrappers.append(_Wrapper(connection))


class _Wrapper:
    """Around every statement of one connection."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._set: tuple[Attribution, tuple[str, ...]] | None = None  # in this transaction, with its savepoints
        self._is_own = False  # the statement is one of the wrapper itself

    def __call__(self, execute: Execute, sql: str, params: Parameters, many: bool, context: Context) -> object:
        if self._is_own:
            return execute(sql, params, many, context)
        if isinstance(sql, str) and not WRITES.match(sql):
            return execute(sql, params, many, context)
        current = self._evaluated(attribution_here())
        if current is None and self._is_set():
            current = Attribution()  # the transaction continues outside of `attributed`
        if current is None:
            result = execute(sql, params, many, context)
        elif self._connection.in_atomic_block or not self._connection.get_autocommit():
            self._set_for_transaction(current)
            result = execute(sql, params, many, context)
        else:
            result = self._execute_alone(current, execute, sql, params, many, context)
        notify_on_commit()
        return result

    def _evaluated(self, current: Attribution | None) -> Attribution | None:
        """With the actor of this moment, which may take a statement of its own to find: a view may sign its user in."""
        if current is None or isinstance(current.actor, str):
            return current
        with self._own_statements():
            return replace(current, actor=current.name)

    def _set_for_transaction(self, current: Attribution) -> None:
        """Sets the attribution before a transaction's first write, and again where it or its savepoint has changed."""
        here = tuple(self._connection.savepoint_ids)
        if self._is_set() and self._set and self._set[0] == current and here[: len(self._set[1])] == self._set[1]:
            return
        with self._own_statements(), self._connection.cursor() as cursor:
            cursor.execute(SQL["set_by_name"], _parameters(current))
        self._set = (current, here)

    def _is_set(self) -> bool:
        """Whether an attribution was set in this transaction."""
        connection = self._connection.connection
        if connection is None or connection.info.transaction_status == TransactionStatus.IDLE:
            self._set = None
        return self._set is not None

    def _execute_alone(
        self, current: Attribution, execute: Execute, sql: str, params: Parameters, many: bool, context: Context
    ) -> object:
        """Executes a statement in autocommit mode: both are sent as one message, which is one transaction.

        That needs a client-side binding cursor; for others a transaction is opened.
        """
        cursor = getattr(context["cursor"], "cursor", None)
        if not many and isinstance(cursor, ClientCursor) and isinstance(sql, str):
            result = execute(*_in_one_message(_parameters(current), sql, params), many, context)
            cursor.nextset()
            return result
        with self._own_statements(), transaction.atomic(self._connection.alias):
            with self._connection.cursor() as first:
                first.execute(SQL["set_by_name"], _parameters(current))
            return execute(sql, params, many, context)

    @contextmanager
    def _own_statements(self) -> Iterator[None]:
        self._is_own = True
        try:
            yield
        finally:
            self._is_own = False


def _in_one_message(own: Mapping[str, str], sql: str, params: Parameters) -> tuple[str, Parameters]:
    """A statement that sets the attribution, and after it the other one, with the parameters of both."""
    if isinstance(params, Mapping):
        return joined((SQL["set_by_name"], Statement(sql)), "\n"), {**params, **own}
    text = sql.replace("%", "%%") if params is None else sql
    return joined((SQL["set_by_position"], Statement(text)), "\n"), (*own.values(), *(params or ()))
