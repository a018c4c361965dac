"""The weekly partitions of the change log: made ahead, and dropped once they are old and no longer needed."""

import logging
from datetime import datetime

from psycopg.errors import LockNotAvailable

from lockstep.conf import lockstep_settings
from lockstep.delivery.database import Connection
from lockstep.delivery.periodic import PeriodicWork, register_periodic
from lockstep.delivery.subscriptions import Pool
from lockstep.sql import identifier, statements

UPKEEP = statements(__file__, "upkeep")

logger = logging.getLogger(__name__)

# Dropping a partition locks the whole log briefly. A short timeout, so that writers do not queue behind it.
SHORT_LOCK = "SET LOCAL lock_timeout = '200ms'"


async def make_partitions(pool: Pool) -> None:
    """Makes the change log's partitions for the weeks ahead. Fails where another transaction locks it for a second."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '1s'")
        await connection.execute(UPKEEP["make_partitions"])


async def drop_old_partitions(pool: Pool) -> list[str]:
    """Drops the partitions past retention, oldest first, up to the first that is needed; returns their names."""
    async with pool.connection() as connection:
        return await _drop(connection, lockstep_settings.RETENTION_DAYS)


async def _drop(connection: Connection, days: int) -> list[str]:
    dropped: list[str] = []
    cursor = await connection.execute(UPKEEP["old_partitions"], {"days": days})
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
    """Drops one partition, unless subscriptions need it; returns these. New needs are locked out before the check."""
    async with connection.transaction():
        await connection.execute(SHORT_LOCK)
        await connection.execute(UPKEEP["keep_needs"])
        if needing := await _needed_by(connection, first, end):
            return needing
        await connection.execute(UPKEEP["note_dropped"].with_parts(partition=identifier(name)))
        await connection.execute("SELECT lockstep_drop_week(%s)", [name])
    return []


async def _needed_by(connection: Connection, first: datetime, end: datetime) -> list[str]:
    cursor = await connection.execute(UPKEEP["needed_by"], {"from": first, "to": end})
    return [name for (name,) in await cursor.fetchall()]


async def _run(pool: Pool) -> None:
    if dropped := await drop_old_partitions(pool):
        logger.info("past retention and dropped: %s", ", ".join(dropped))


register_periodic(PeriodicWork("change-log-partitions", 6 * 3600.0, make_partitions))
register_periodic(PeriodicWork("change-log-retention", 3600.0, _run))
