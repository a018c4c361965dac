"""The weeks of the change log: made ahead, and dropped as a whole once they are old and nobody needs them."""

import logging
from datetime import datetime

from django.conf import settings
from psycopg import sql
from psycopg.errors import LockNotAvailable

from lockstep.delivery.database import SQL, Connection
from lockstep.delivery.periodic import PeriodicWork, register_periodic
from lockstep.delivery.subscriptions import Pool

logger = logging.getLogger(__name__)

# Dropping a week locks the whole log for a moment: whoever uses it long is not waited for, and writers do not queue up.
SHORT_LOCK = "SET LOCAL lock_timeout = '200ms'"


async def make_partitions(pool: Pool) -> None:
    """The change log's partitions for the weeks ahead. Gives way at once where somebody holds the log."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '1s'")
        await connection.execute(SQL["upkeep"]["make_partitions"])


async def drop_old_partitions(pool: Pool) -> list[str]:
    """Drops the weeks that are past retention, oldest first, up to the first that is needed; returns their names."""
    async with pool.connection() as connection:
        return await _drop(connection, settings.CHANGE_LOG_RETENTION_DAYS)


async def _drop(connection: Connection, days: int) -> list[str]:
    dropped: list[str] = []
    cursor = await connection.execute(SQL["upkeep"]["old_partitions"], {"days": days})
    for name, first, end in await cursor.fetchall():
        try:
            needing = await _needed_by(connection, first, end) or await _drop_one(connection, name, first, end)
        except LockNotAvailable:
            logger.info("%s is past retention and in use; it is dropped another time", name)
            break
        if needing:
            logger.warning("%s is past retention and kept, because %s still needs it", name, ", ".join(needing))
            break
        dropped.append(name)
    return dropped


async def _drop_one(connection: Connection, name: str, first: datetime, end: datetime) -> list[str]:
    """Drops one week, unless somebody needs it by the time that nobody can begin to; returns who does."""
    async with connection.transaction():
        await connection.execute(SHORT_LOCK)
        await connection.execute(SQL["upkeep"]["keep_needs"])
        if needing := await _needed_by(connection, first, end):
            return needing
        await connection.execute(sql.SQL(SQL["upkeep"]["note_dropped"]).format(sql.Identifier(name)))
        await connection.execute("SELECT changes_drop_week(%s)", [name])
    return []


async def _needed_by(connection: Connection, first: datetime, end: datetime) -> list[str]:
    cursor = await connection.execute(SQL["upkeep"]["needed_by"], {"from": first, "to": end})
    return [name for (name,) in await cursor.fetchall()]


async def _run(pool: Pool) -> None:
    if dropped := await drop_old_partitions(pool):
        logger.info("past retention and dropped: %s", ", ".join(dropped))


register_periodic(PeriodicWork("change-log-partitions", 6 * 3600.0, make_partitions))
register_periodic(PeriodicWork("change-log-retention", 3600.0, _run))
