"""Periodic work on what delivery keeps: full subscriptions are let go on, old attempts and empty places are removed."""

import logging
from datetime import timedelta

from django.conf import settings

from lockstep.delivery.database import SQL
from lockstep.delivery.periodic import PeriodicWork, register_periodic
from lockstep.delivery.subscriptions import Pool

logger = logging.getLogger(__name__)


async def relieve(pool: Pool) -> None:
    """Lets subscriptions that were full take changes again, once half of what waited is delivered."""
    async with pool.connection() as connection:
        cursor = await connection.execute(SQL["upkeep"]["relieve"])
        for (name,) in await cursor.fetchall():
            logger.info("%s has room again and goes on", name)


async def remove_attempts(pool: Pool) -> None:
    """Attempts are kept for a while, for those who want to know what happened."""
    async with pool.connection() as connection:
        kept = timedelta(days=settings.ATTEMPT_RETENTION_DAYS)
        await connection.execute(SQL["upkeep"]["remove_attempts"], {"kept": kept})


async def remove_places(pool: Pool) -> None:
    """Places at which nobody stands any more."""
    async with pool.connection() as connection:
        await connection.execute(SQL["upkeep"]["remove_places"])


register_periodic(PeriodicWork("full-subscriptions", 5.0, relieve))
register_periodic(PeriodicWork("old-attempts", 3600.0, remove_attempts))
register_periodic(PeriodicWork("empty-places", 3600.0, remove_places))
