"""The periodic drift check: a plan that nobody applies, so that a difference is known before somebody asks."""

import logging
from collections.abc import Awaitable, Callable

from psycopg.types.json import Jsonb

from lockstep.mirror.aftermath import Aftermath
from lockstep.mirror.collections import Mirror
from lockstep.mirror.plan import Plan
from lockstep.mirror.remote import Pool
from lockstep.providers.errors import ProviderError

logger = logging.getLogger(__name__)

REMEMBER = "INSERT INTO mirror_driftcheck (provider, counts) VALUES (%s, %s)"


def drift_check(mirror: Mirror, aftermath: Aftermath) -> Callable[[Pool], Awaitable[None]]:
    """Periodic work that compares the provider with us, writes the counts down and warns of drift.

    What is no drift by others' hands is left to the aftermath.
    """

    async def run(pool: Pool) -> None:
        async with mirror.open_client() as client, pool.connection() as connection:
            plan = Plan(mirror, connection)
            try:
                await plan.make(client, lambda collection, listed: None)
                await plan.verify()
                await connection.execute(REMEMBER, [mirror.provider, Jsonb(dict(plan.counts))])
            except ProviderError as error:
                logger.warning("%s: the drift check could not read the provider: %s", mirror.provider, error)
            finally:
                await plan.close()
        if plan.owed:
            await aftermath.request(pool)
        if plan.drift:
            logger.warning(
                "%s differs from us: %s. See manage.py sync_with_fake_system --plan",
                mirror.provider, ", ".join(f"{count} to {kind}" for kind, count in sorted(plan.counts.items())),
            )  # fmt: skip

    return run
