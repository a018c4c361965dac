"""The rows of the console's statements."""

from typing import Any

from psycopg.rows import TupleRow

from lockstep.conf import log_connection
from lockstep.sql import Statement


def read_rows(statement: Statement, **parameters: Any) -> list[TupleRow]:  # noqa: ANN401 - of any type that psycopg takes
    """The rows of a statement in the database of the log."""
    with log_connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
