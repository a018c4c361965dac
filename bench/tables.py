"""What the rows do to the tables between two measurements."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.place import Connection

TABLES = """posts_post, posts_comment, mirror_remoteobject, changes_change,
    delivery_subscription, delivery_lane, delivery_delivery, delivery_deadletter"""

FILL_POSTS = """
    INSERT INTO posts_post (id, number, user_id, title, body)
    SELECT lockstep_uuid7(), n, n / 10, 'post number ' || n,
           repeat('a line of words such as people write' || chr(10), 1 + n %% 4)
    FROM generate_series(%(first)s::int, %(last)s::int) AS n"""

CAPTURE_TRIGGERS = """
    SELECT tgname FROM pg_trigger
    WHERE tgrelid = %(table)s::regclass AND tgname LIKE 'pgtrigger\\_capture\\_%%'"""


@dataclass(frozen=True)
class Posts:
    """Numbers of generated posts, both included."""

    first: int
    last: int

    def insert(self, connection: Connection) -> None:
        """As one statement, through whatever triggers are on."""
        connection.execute(FILL_POSTS, vars(self))


def empty(connection: Connection) -> None:
    """Empties all, without telling the change log, and starts the next measurement with a fresh checkpoint."""
    with silenced(connection):
        connection.execute(f"TRUNCATE {TABLES}")
    connection.execute("CHECKPOINT")


def settle(connection: Connection, *tables: str) -> None:
    """After data were made: statistics, hint bits and dirty pages shall not disturb what is measured next."""
    for table in tables:
        connection.execute(f"VACUUM (ANALYZE) {table}")
    connection.execute("CHECKPOINT")


class WrongRows(Exception):
    """What was measured did not write what it should have: its time says nothing."""


def count(connection: Connection, table: str) -> int:
    """How many rows there are."""
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(rows)


def require(connection: Connection, **expected: int) -> None:
    """Raises WrongRows unless each table holds so many rows. Work that was left out would look like speed."""
    for table, rows in expected.items():
        if (found := count(connection, table)) != rows:
            raise WrongRows(f"{table} holds {found:,} rows, not {rows:,}")


@contextmanager
def silenced(connection: Connection) -> Iterator[None]:
    """No trigger fires for this connection."""
    connection.execute("SET session_replication_role = replica")
    yield
    connection.execute("SET session_replication_role = origin")


@contextmanager
def without_capture(connection: Connection, *tables: str) -> Iterator[None]:
    """The capture triggers of these tables are off for everybody; all others stay on."""
    _switch(connection, "DISABLE", tables)
    try:
        yield
    finally:
        _switch(connection, "ENABLE", tables)


def _switch(connection: Connection, verb: str, tables: tuple[str, ...]) -> None:
    for table in tables:
        for (trigger,) in connection.execute(CAPTURE_TRIGGERS, {"table": table}).fetchall():
            connection.execute(f'ALTER TABLE {table} {verb} TRIGGER "{trigger}"')
