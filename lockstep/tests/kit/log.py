"""What tests ask of the change log and the lanes, and do to them, past Django."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg


@contextmanager
def without_triggers(cursor: Any, *tables: str) -> Iterator[None]:
    """No trigger of these tables fires, which their owner can have. The caller has a transaction around it."""
    for table in tables:
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for table in tables:
        names = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
        found = cursor.execute(names, [table]) or cursor  # Django's cursor returns nothing
        enabling = ", ".join(f"ENABLE ALWAYS TRIGGER {name}" for (name,) in found.fetchall())
        cursor.execute(f"ALTER TABLE {table} {enabling}")


def drained(connection: psycopg.Connection) -> bool:
    """Whether every change is fanned out and nothing waits in any lane."""
    behind = """
        SELECT EXISTS (SELECT FROM lockstep_lane)
            OR EXISTS (SELECT FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
                       CROSS JOIN LATERAL lockstep_unplaced(place))
    """
    row = connection.execute(behind).fetchone()
    return row is not None and not row[0]
