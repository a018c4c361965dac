"""Waits until the database is usable: once for all tasks of a worker, with one log line for each reason."""

import asyncio
import logging
import time
from collections.abc import Callable

from psycopg import OperationalError

from lockstep.changes.connecting import WatchedConnection, connection_parameters
from lockstep.changes.database_errors import is_read_only, is_stale, is_transient, unsuitable
from lockstep.changes.pooling import require_suitable
from lockstep.delivery.database import APPLICATION_NAME
from lockstep.delivery.waiting import Reasons, Signal, first_of

RECOVERY_SECONDS = 1.0  # between attempts

logger = logging.getLogger(__name__)


class ReadOnly(OperationalError):
    """the database is read-only"""


class Standby(OperationalError):
    """the database is a standby: the worker waits until it is promoted, or until the primary answers in its place"""


def try_database() -> None:
    """Raises UnsuitableDatabase, or a transient error, where a worker cannot use the database."""
    parameters = connection_parameters() | {"application_name": APPLICATION_NAME, "autocommit": True}
    with WatchedConnection.connect(**parameters) as connection:
        connection.begin({})
        require_suitable(connection)
        state = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
        standby, read_only = connection.execute(state).fetchone() or (False, False)
        if standby:
            raise Standby(str(Standby.__doc__))
        if read_only:
            raise ReadOnly(str(ReadOnly.__doc__))


class Availability:
    """Whether the database is usable."""

    def __init__(self, stopping: Signal, attempt: Callable[[], None] = try_database) -> None:
        self._stopping = stopping
        self._attempt = attempt
        self._lock = asyncio.Lock()
        self._reasons = Reasons()
        self._tried = 0.0
        self._unusable_since: float | None = None  # as logged
        self._error: BaseException | None = None
        self._waiting = 0  # tasks of the worker

    @property
    def is_awaited(self) -> bool:
        """Whether a task of the worker waits for the database."""
        return self._waiting > 0

    async def wait(self, error: BaseException | None = None) -> None:
        """Returns once the database is usable, RECOVERY_SECONDS after this error, or when the worker stops.

        Raises UnsuitableDatabase for errors that are not transient.
        """
        self._waiting += 1
        try:
            await self._wait(error)
        finally:
            self._waiting -= 1

    async def _wait(self, error: BaseException | None) -> None:
        while not self._stopping.is_set():
            if error:
                self._judge(error)
                await first_of(self._stopping, seconds=RECOVERY_SECONDS)
            since = time.monotonic()
            async with self._lock:
                if self._tried < since:  # else another task of the worker has tried since
                    self._error = await self._problem()
                    self._tried = time.monotonic()
                error = self._error
            if error is None:
                self._log_end()
                return

    async def _problem(self) -> Exception | None:
        try:
            await asyncio.to_thread(self._attempt)
        except Exception as error:
            return error
        return None

    def _judge(self, error: BaseException) -> None:
        """Logs a transient error, unless it was logged recently. Raises any other."""
        if cause := unsuitable(error):
            raise cause from error
        if not is_transient(error):
            raise error
        if is_stale(error) and not is_read_only(error):
            return  # its connection is replaced, which was logged
        reason = str(error).partition("\n")[0].strip() or type(error).__name__
        if self._reasons.is_new(reason):
            logger.warning("the database cannot be used, trying again: %s", reason)
            self._unusable_since = self._unusable_since or time.monotonic()

    def _log_end(self) -> None:
        if self._unusable_since is not None:
            logger.info("the database can be used again, after %.0f s", time.monotonic() - self._unusable_since)
            self._unusable_since = None
