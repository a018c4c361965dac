"""Prepared statements for the most frequent requests: without the ORM, and planned once for each connection.

Each time, the ORM takes half a millisecond to build a statement, and PostgreSQL a tenth to plan it; this does neither.
The statements are in .sql files. Without the fast path they run on cursors of Django's, and its models read their rows.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models.base import ModelState
from psycopg.rows import dict_row, tuple_row

from lockstep.changes.database_errors import is_stale
from lockstep.rest.fastpath import switch

Row = dict[str, Any]  # by the names of the columns
Values = tuple[Any, ...]  # in the order of the columns
Parameters = Sequence[Any] | Mapping[str, Any]
M = TypeVar("M", bound=models.Model)


class _Cursors(threading.local):
    """The cursors of this thread's connection: a reused one knows its statement and the types of its columns."""

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


def fetch_all(statement: str, parameters: Parameters = (), *, reuse_cursor: bool = False) -> list[Row]:
    """All rows of a statement on Django's default connection: in its transaction, with its exceptions."""
    return _fetched(statement, parameters, dict_row, reuse_cursor=reuse_cursor)


def fetch_one(statement: str, parameters: Parameters = ()) -> Row | None:
    """The first row as a dict, or None."""
    return next(iter(_fetched(statement, parameters, dict_row)), None)


def fetch_tuple(statement: str, parameters: Parameters = (), *, reuse_cursor: bool = False) -> Values | None:
    """The first row as a tuple, or None."""
    return next(iter(_fetched(statement, parameters, tuple_row, reuse_cursor=reuse_cursor)), None)


def instance(model: type[M], columns: Sequence[str], values: Sequence[object]) -> M:
    """A model instance with these columns of a row; the others are deferred.

    This is `Model.from_db` without its signals. Saves 25 µs for each request, which has a user and a session.
    """
    given = dict(zip(columns, values, strict=True))
    if not switch.is_on():
        names = [field.attname for field in model._meta.concrete_fields if field.attname in given]
        return model.from_db(DEFAULT_DB_ALIAS, names, [given[name] for name in names])  # in the order of the fields
    row = model.__new__(model)
    row._state = ModelState()
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
    row.__dict__.update(given)
    return row


def _fetched(statement: str, parameters: Parameters, factory: Any, *, reuse_cursor: bool = False) -> list[Any]:  # noqa: ANN401
    connection: Any = connections[DEFAULT_DB_ALIAS]  # the proxy `connection` would look this up for each attribute
    if not switch.is_on():
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            names = [column.name for column in cursor.description]
            rows = cursor.fetchall()
            return [dict(zip(names, row, strict=True)) for row in rows] if factory is dict_row else rows
    try:
        return _fetch(connection, statement, parameters, factory, reuse_cursor=reuse_cursor)
    except DatabaseError as error:
        if connection.in_atomic_block or not is_stale(error.__cause__):
            raise
        connection.close()  # its plans are for tables that were altered since; the statement had no effect
        return _fetch(connection, statement, parameters, factory, reuse_cursor=reuse_cursor)


def _fetch(connection: Any, statement: str, parameters: Parameters, factory: Any, *, reuse_cursor: bool) -> list[Any]:  # noqa: ANN401
    if connection.connection is None:
        connection.ensure_connection()
    with connection.wrap_database_errors:
        kept = cursor = _cursors.get(connection.connection, statement, factory)
        if connection.queries_logged:  # in tests and in development
            cursor = connection._prepare_cursor(kept)
        cursor.execute(statement, parameters)
        found: list[Any] = cursor.fetchall()
        if not reuse_cursor:
            kept.pgresult.clear()  # it may have a megabyte
        return found
