"""Periodic work on the tables of delivery: resumes drained subscriptions, removes what is old or unused."""

import logging
from datetime import timedelta

from lockstep.conf import lockstep_settings
from lockstep.delivery import providers
from lockstep.delivery.periodic import PeriodicWork, register_periodic
from lockstep.delivery.subscriptions import Pool
from lockstep.sql import statements

UPKEEP = statements(__file__, "upkeep")

logger = logging.getLogger(__name__)


async def resume_drained(pool: Pool) -> None:
    """Resumes fan-out to subscriptions at their cap once half of their changes are delivered."""
    async with pool.connection() as connection:
        cursor = await connection.execute(UPKEEP["resume_drained"])
        for (name,) in await cursor.fetchall():
            logger.info("%s is below its cap and continues", name)


async def remove_attempts(pool: Pool) -> None:
    """Removes attempts older than ATTEMPT_RETENTION_DAYS."""
    async with pool.connection() as connection:
        kept = timedelta(days=lockstep_settings.ATTEMPT_RETENTION_DAYS)
        await connection.execute(UPKEEP["remove_attempts"], {"kept": kept})


async def remove_places(pool: Pool) -> None:
    """Removes places without a subscription."""
    async with pool.connection() as connection:
        await connection.execute(UPKEEP["remove_places"])


async def remove_figures(pool: Pool) -> None:
    """Removes figures of providers that are older than a day."""
    async with pool.connection() as connection:
        await connection.execute(providers.SQL["remove_old"], {"kept": providers.KEPT})


register_periodic(PeriodicWork("full-subscriptions", 5.0, resume_drained))
register_periodic(PeriodicWork("old-attempts", 3600.0, remove_attempts))
register_periodic(PeriodicWork("empty-places", 3600.0, remove_places))
register_periodic(PeriodicWork("old-provider-figures", 3600.0, remove_figures))
