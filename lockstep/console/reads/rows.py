"""The rows of the console's statements."""

from typing import Any

from django.db import transaction
from psycopg.rows import TupleRow

from lockstep.conf import log_connection
from lockstep.sql import Statement


def read_rows(statement: Statement, **parameters: Any) -> list[TupleRow]:  # noqa: ANN401 - of any type that psycopg takes
    """The rows of a statement in the database of the log."""
    with log_connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def read_in_order(statement: Statement, **parameters: Any) -> list[TupleRow]:  # noqa: ANN401 - as above
    """The rows of a statement that reads the first lanes of a subscription in the order of their index.

    Where PostgreSQL expects fewer lanes than the limit, as it does of a subscription that has more than most, it would
    read all of them by a bitmap, and sort them.
    """
    connection = log_connection()
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(statement, parameters)
        rows = list(cursor.fetchall())
        cursor.execute("SET LOCAL enable_bitmapscan TO DEFAULT")
    return rows
