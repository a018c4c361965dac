"""Statements of the requests that come most often: planned once for each connection, past the ORM.

The ORM takes half a millisecond to write a statement, and PostgreSQL a tenth to plan it, each time; this does neither.
What they read lies in .sql files, like all SQL that matters.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.postgresql.base import ServerBindingCursor
from psycopg.rows import dict_row, tuple_row

from lockstep.changes.database_errors import is_stale

Row = dict[str, Any]  # by the names that the statement gives its columns
Values = tuple[Any, ...]  # in the order in which the statement names them
Parameters = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """At most one row that is read in the same round trip as who asks for it.

    The statement calls whoever that is {user}, which is no parameter: it is found by what is sent with it. The first
    column of a row is never null.
    """

    statement: str
    parameters: Mapping[str, Any]
    is_small: bool = False  # so that its result may lie about until the statement is asked again, which is then quicker


class _Cursors(threading.local):
    """Of this thread's connection: a cursor that is used again knows its statement and the types of its columns."""

    connection: Any = None
    cursors: dict[tuple[str, Any], Any]

    def get(self, connection: Any, statement: str, factory: Any) -> Any:  # noqa: ANN401 - psycopg's
        if self.connection is not connection:
            self.connection, self.cursors = connection, {}
        cursor = self.cursors.get((statement, factory))
        if cursor is None:
            plain: Any = ServerBindingCursor  # the stubs know another one
            cursor = self.cursors[statement, factory] = plain(connection, row_factory=factory)
        return cursor


_cursors = _Cursors()


def rows(statement: str, parameters: Parameters = (), *, is_small: bool = False) -> list[Row]:
    """What a statement gives, as Django's default connection sees it: in its transaction, with its errors."""
    return _fetched(statement, parameters, dict_row, is_small=is_small)


def row(statement: str, parameters: Parameters = ()) -> Row | None:
    """The first row; None when there is none."""
    return next(iter(rows(statement, parameters)), None)


def values(statement: str, parameters: Parameters = (), *, is_small: bool = False) -> Values | None:
    """The first row without its names; None when there is none."""
    return next(iter(_fetched(statement, parameters, tuple_row, is_small=is_small)), None)


def _fetched(statement: str, parameters: Parameters, factory: Any, *, is_small: bool) -> list[Any]:  # noqa: ANN401
    connection: Any = connections[DEFAULT_DB_ALIAS]  # the proxy `connection` would look this up for each attribute
    try:
        return _fetch(connection, statement, parameters, factory, is_small=is_small)
    except DatabaseError as error:
        if connection.in_atomic_block or not is_stale(error.__cause__):
            raise
        connection.close()  # its plans are of tables that were altered since; of the statement nothing was done
        return _fetch(connection, statement, parameters, factory, is_small=is_small)


def _fetch(connection: Any, statement: str, parameters: Parameters, factory: Any, *, is_small: bool) -> list[Any]:  # noqa: ANN401
    if connection.connection is None:
        connection.ensure_connection()
    with connection.wrap_database_errors:
        kept = cursor = _cursors.get(connection.connection, statement, factory)
        if connection.queries_logged:  # somebody counts: tests do, and development
            cursor = connection._prepare_cursor(kept)
        cursor.execute(statement, parameters)
        found: list[Any] = cursor.fetchall()
        if not is_small:
            kept.pgresult.clear()  # it may be a page of a megabyte
        return found
