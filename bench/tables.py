"""What the rows do to the tables between two measurements."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.place import Connection
from lockstep.changes.triggers import PREFIX

TABLES = (
    *("posts_post", "posts_comment", "lockstep_mirror_remoteobject", "lockstep_change"),
    *("lockstep_subscription", "lockstep_lane", "lockstep_delivery", "lockstep_deadletter"),
)

FILL_POSTS = """
    INSERT INTO posts_post (id, number, user_id, title, body)
    SELECT lockstep_uuid7(), n, n / 10, 'post number ' || n,
           repeat('a line of words such as people write' || chr(10), 1 + n %% 4)
    FROM generate_series(%(first)s::int, %(last)s::int) AS n"""

TRIGGERS = """
    SELECT tgname FROM pg_trigger
    WHERE tgrelid = %s::regclass AND NOT tgisinternal AND tgenabled <> 'D' AND tgname LIKE %s"""


@dataclass(frozen=True)
class Posts:
    """Numbers of generated posts, both included."""

    first: int
    last: int

    def insert(self, connection: Connection) -> None:
        """As one statement, through whatever triggers are on."""
        connection.execute(FILL_POSTS, vars(self))


def empty(connection: Connection) -> None:
    """Empties all, past the change log, and starts the next measurement with a fresh checkpoint."""
    log = connection.execute("SELECT relid::regclass::text FROM pg_partition_tree('lockstep_change')").fetchall()
    with silenced(connection, *TABLES, *(table for (table,) in log if table not in TABLES)):
        connection.execute(f"TRUNCATE {', '.join(TABLES)}")
    connection.execute("CHECKPOINT")


def settle(connection: Connection, *tables: str) -> None:
    """Keeps statistics, hint bits and dirty pages of new data from disturbing the next measurement."""
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
def silenced(connection: Connection, *tables: str) -> Iterator[None]:
    """No trigger of these tables fires."""
    with _off(connection, tables, "%"):
        yield


@contextmanager
def without_capture(connection: Connection, *tables: str) -> Iterator[None]:
    """The capture triggers of these tables are off for every session; all others stay on."""
    with _off(connection, tables, f"{PREFIX}%"):
        yield


@contextmanager
def _off(connection: Connection, tables: Iterable[str], names: str) -> Iterator[None]:
    triggers = [(table, one) for table in tables for (one,) in connection.execute(TRIGGERS, [table, names]).fetchall()]
    _switch(connection, "DISABLE", triggers)
    try:
        yield
    finally:
        _switch(connection, "ENABLE ALWAYS", triggers)


def _switch(connection: Connection, verb: str, triggers: list[tuple[str, str]]) -> None:
    for table, trigger in triggers:
        connection.execute(f'ALTER TABLE {table} {verb} TRIGGER "{trigger}"')
