"""Lock timeouts for `migrate`, so that no writer waits long behind a migration.

A statement that waits for the lock of a table blocks all later statements on the table, even those that do not conflict
with the current holder. So it waits for MIGRATION_LOCK_SECONDS; then its migration is rolled back and retried, for
MIGRATION_RETRY_SECONDS in total.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

from django.conf import settings
from django.db import Error, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import DeadlockDetected, LockNotAvailable

from lockstep.changes.database_errors import cause_of
from lockstep.sql import statements

Result = TypeVar("Result")
FIRST_PAUSE, MAX_PAUSE = 0.5, 20.0
WATCH_SECONDS = 1.0
SQL = statements(__file__, "migration_locks")


class LockTimeout(Exception):
    """Another transaction held a lock until MIGRATION_RETRY_SECONDS were over."""


def repeat_until_locked(using: str, attempt: Callable[[], Result], say: Callable[[str], object]) -> Result:
    """The result of `attempt`, which is retried when it gets no lock. Raises LockTimeout with the blocking sessions.

    Within a transaction of the caller it is called once, because only the caller can repeat the transaction.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        return attempt()
    ends, pause = time.monotonic() + settings.MIGRATION_RETRY_SECONDS, FIRST_PAUSE
    while True:
        with Watch(using) as watch, limited(connection):
            try:
                return attempt()
            except OperationalError as error:
                if not isinstance(cause_of(error), LockNotAvailable | DeadlockDetected):
                    raise
                cause = error
        if time.monotonic() + pause > ends:
            raise LockTimeout(
                f"The migration got no lock within {settings.MIGRATION_RETRY_SECONDS:g} s and was not applied: "
                f"{watch.seen}. End that transaction, or wait for its end, and run migrate again."
            ) from cause
        say(f"The migration waits for a lock: {watch.seen}. Retrying in {pause:g} s.\n")
        time.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE)


@contextmanager
def limited(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Sets lock_timeout to MIGRATION_LOCK_SECONDS, except for statements behind which no writer waits."""

    def run(execute: Callable[..., object], sql: str, params: object, many: bool, context: object) -> object:
        """CONCURRENTLY waits for all older transactions; a timeout would leave an invalid index."""
        if connection.in_atomic_block or "CONCURRENTLY" not in str(sql):
            return execute(sql, params, many, context)
        _set_limit(connection, 0)
        try:
            return execute(sql, params, many, context)
        finally:
            _set_limit(connection, settings.MIGRATION_LOCK_SECONDS)

    _set_limit(connection, settings.MIGRATION_LOCK_SECONDS)
    try:
        with connection.execute_wrapper(run):
            yield
    finally:
        with suppress(Error):  # the connection is lost: the next one has no limit
            _set_limit(connection, 0)


def _set_limit(connection: BaseDatabaseWrapper, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SQL["limit_lock_waits"], [str(round(seconds * 1_000))])


class Watch:
    """Reads, on a connection of its own, which sessions block a connection. After the statement they are unknown."""

    def __init__(self, using: str) -> None:
        self.seen = "another transaction holds it"
        self._watched = connections[using]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="migration-locks", daemon=True)

    def __enter__(self) -> Self:
        self._watched.ensure_connection()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        """Ignores errors: a migration must not fail because the blocking sessions cannot be read."""
        own = self._watched.copy()
        try:
            with suppress(Error):
                while not self._ended.wait(min(WATCH_SECONDS, settings.MIGRATION_LOCK_SECONDS / 4)):
                    self._read_blockers(own)
        finally:
            own.close()

    def _read_blockers(self, own: BaseDatabaseWrapper) -> None:
        session: Any = self._watched.connection
        if session is None:
            return
        with own.cursor() as cursor:
            cursor.execute(SQL["blockers"], [session.info.backend_pid])
            if blockers := cursor.fetchall():
                self.seen = f"{', '.join(map(describe, blockers))} {'hold' if blockers[1:] else 'holds'} it"


def describe(blocker: Sequence[object]) -> str:
    """Describes a session that holds a lock."""
    pid, application, role, since = blocker
    if not pid:
        return "a prepared transaction (see pg_prepared_xacts)"
    return f"process {pid} ({application or 'no application_name'}, role {role}, in a transaction since {since or '?'})"
