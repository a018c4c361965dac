"""Statements of the requests that come most often: planned once for each connection, past the ORM.

The ORM takes half a millisecond to write a statement, and PostgreSQL a tenth to plan it, each time; this does neither.
What they read lies in .sql files, like all SQL that matters.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor


def rows(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """What a statement gives, as Django's default connection sees it: in its transaction, with its errors."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        plain = ServerBindingCursor(connection.connection)  # type: ignore[call-arg]  # the stubs know another one
    # Counted and logged as Django's own are.
    with connection._prepare_cursor(plain) as cursor:  # type: ignore[attr-defined]
        cursor.execute(statement, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def row(statement: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """The first row; None when there is none."""
    return next(iter(rows(statement, parameters)), None)
