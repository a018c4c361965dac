"""Statements of the requests that come most often: planned once for each connection, past the ORM.

The ORM takes half a millisecond to write a statement, and PostgreSQL a tenth to plan it, each time; this does neither.
What they read lies in .sql files, like all SQL that matters.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql.base import ServerBindingCursor
from psycopg.rows import dict_row, tuple_row

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
    is_small: bool = False  # so that it may lie about until the statement is asked again


class _Cursors(threading.local):
    """Of this thread's connection, by statement: a cursor that is used again knows the types of its columns."""

    connection: Any = None
    cursors: dict[str, Any]

    def get(self, connection: Any, statement: str, factory: Any) -> Any:  # noqa: ANN401 - psycopg's
        if self.connection is not connection:
            self.connection, self.cursors = connection, {}
        cursor = self.cursors.get(statement)
        if cursor is None:
            cursor = self.cursors[statement] = _new_cursor(connection, statement, factory)
        return cursor


def _new_cursor(connection: Any, _: str, factory: Any) -> Any:  # noqa: ANN401 - psycopg's
    plain: Any = ServerBindingCursor  # the stubs know another one
    return plain(connection, row_factory=factory)


_cursors = _Cursors()


def rows(statement: str, parameters: Parameters = ()) -> list[Row]:
    """What a statement gives, as Django's default connection sees it: in its transaction, with its errors."""
    return _fetched(statement, parameters, dict_row)


def row(statement: str, parameters: Parameters = ()) -> Row | None:
    """The first row; None when there is none."""
    return next(iter(rows(statement, parameters)), None)


def values(statement: str, parameters: Parameters = (), *, is_small: bool = False) -> Values | None:
    """The first row without its names; None when there is none. One that is small is kept a while, with its cursor."""
    return next(iter(_fetched(statement, parameters, tuple_row, keep=is_small)), None)


def _fetched(statement: str, parameters: Parameters, factory: Any, *, keep: bool = False) -> list[Any]:  # noqa: ANN401
    connection: Any = connections[DEFAULT_DB_ALIAS]  # the proxy `connection` would look this up for each attribute
    if connection.connection is None:
        connection.ensure_connection()
    with connection.wrap_database_errors:
        make: Any = _cursors.get if keep else _new_cursor
        cursor = make(connection.connection, statement, factory)
        if connection.queries_logged:  # somebody counts: tests do, and development
            cursor = connection._prepare_cursor(cursor)
        cursor.execute(statement, parameters)
        found: list[Any] = cursor.fetchall()
        return found
