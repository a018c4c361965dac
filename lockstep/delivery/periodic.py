"""Periodic work: declared in an app's `subscribers.py`, done by one of all workers."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from lockstep.changes.database_errors import is_transient
from lockstep.conf import log_connection
from lockstep.delivery.database import Connection, in_thread
from lockstep.delivery.subscriptions import Pool
from lockstep.delivery.waiting import Signal, first_of, is_stop
from lockstep.sql import statements

__all__ = ["PeriodicWork", "register_periodic", "with_orm"]

UPKEEP = statements(__file__, "upkeep")

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
ON_REQUEST_SECONDS = 60.0  # the longest delay of requested work: after it its worker counts as dead
LATE_INTERVALS, LATE_SECONDS = 3, 60.0  # work is reported when it is both so many intervals and so many seconds late


class Row(TypedDict):
    """The parameters of a work's statements."""

    name: str
    every: timedelta | None
    longest: timedelta


@dataclass(frozen=True, slots=True)
class PeriodicWork:
    """Work to `run` every so many seconds, or with None on request only.

    It must be idempotent, and may be skipped when its worker dies.
    """

    name: str
    every: float | None
    run: Callable[[Pool], Awaitable[None]]

    @property
    def row(self) -> Row:
        """The parameters of its statements."""
        every = None if self.every is None else timedelta(seconds=self.every)
        return {"name": self.name, "every": every, "longest": every or timedelta(seconds=ON_REQUEST_SECONDS)}


_registered: list[PeriodicWork] = []


def register_periodic(work: PeriodicWork) -> None:
    """Registers periodic work."""
    _registered.append(work)


def registered_work() -> list[PeriodicWork]:
    """All periodic work, in the order in which it is done."""
    return list(_registered)


def registered_names() -> list[str]:
    """The names of all periodic work."""
    return [work.name for work in _registered]


def overdue() -> list[str]:
    """The names of periodic work that is overdue by far, or scheduled too far ahead."""
    rows = [work.row for work in _registered]
    names, longest = [row["name"] for row in rows], [row["longest"] for row in rows]
    late = [max(LATE_INTERVALS * interval, timedelta(seconds=LATE_SECONDS)) for interval in longest]
    with log_connection().cursor() as cursor:
        cursor.execute(UPKEEP["overdue"], {"names": names, "longest": longest, "late": late})
        return [name for (name,) in cursor.fetchall()]


async def request_periodic(pool: Pool, name: str, delay: float) -> None:
    """Schedules periodic work within so many seconds, at most ON_REQUEST_SECONDS, on any worker."""
    async with pool.connection() as connection:
        choice = {"name": name, "delay": timedelta(seconds=delay)}
        await connection.execute(UPKEEP["request_periodic"], choice)


def with_orm(function: Callable[[], object]) -> Callable[[Pool], Awaitable[None]]:
    """Wraps a plain function that uses Django's ORM as periodic work."""

    async def run(pool: Pool) -> None:
        await in_thread(function)

    return run


async def declare_periodic(connection: Connection) -> None:
    """Inserts the registered periodic work."""
    for work in _registered:
        await connection.execute(UPKEEP["declare_periodic"], work.row)


async def run_periodic(pool: Pool, stopping: Signal) -> None:
    """Runs declared work when it is due, until stopped; a failure is logged, and the work is run at its next time."""
    while not stopping.is_set():
        for work in _registered:
            async with pool.connection() as connection:
                taken = await _take(connection, work)
            if taken:
                await _do(work, pool, taken)
        await first_of(stopping, seconds=POLL_SECONDS)


async def _take(connection: Connection, work: PeriodicWork) -> datetime | None:
    cursor = await connection.execute(UPKEEP["take_periodic"], work.row)
    row = await cursor.fetchone()
    return row[0] if row else None


async def _do(work: PeriodicWork, pool: Pool, taken: datetime) -> None:
    try:
        await work.run(pool)
    except BaseException as error:
        if is_stop(error):
            raise
        line = "periodic work %s failed; it is tried again when it is next due"
        if is_transient(error):
            logger.warning(f"{line}: %s", work.name, str(error).partition("\n")[0])
        else:
            logger.exception(line, work.name)
        return
    if work.every is None:
        async with pool.connection() as connection:
            await connection.execute(UPKEEP["finish_periodic"], {"name": work.name, "taken": taken})
