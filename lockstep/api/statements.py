"""Statements of the requests that come most often: planned once for each connection, past the ORM.

The ORM takes half a millisecond to write a statement, and PostgreSQL a tenth to plan it, each time; this does neither.
What they read lies in .sql files, like all SQL that matters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql.base import ServerBindingCursor
from psycopg.rows import dict_row

Row = dict[str, Any]  # by the names that the statement gives its columns


def rows(statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
    """What a statement gives, as Django's default connection sees it: in its transaction, with its errors."""
    connection: Any = connections[DEFAULT_DB_ALIAS]  # the proxy `connection` would look this up for each attribute
    connection.ensure_connection()
    with connection.wrap_database_errors:
        plain: Any = ServerBindingCursor  # the stubs know another one
        cursor = plain(connection.connection, row_factory=dict_row)
        if connection.queries_logged:  # somebody counts: tests do, and development
            cursor = connection._prepare_cursor(cursor)
        cursor.execute(statement, parameters)
        found: list[Row] = cursor.fetchall()
        return found


def row(statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
    """The first row; None when there is none."""
    return next(iter(rows(statement, parameters)), None)
