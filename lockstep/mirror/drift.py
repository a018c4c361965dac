"""The periodic drift check: a plan that is not applied, for metrics and warnings."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from psycopg.types.json import Jsonb

from lockstep.delivery.audit import Check, Finding
from lockstep.delivery.database import open_pool
from lockstep.http.errors import ProviderError
from lockstep.mirror.collections import Mirror
from lockstep.mirror.plan import Plan
from lockstep.mirror.reconcile import STOPPED, Reconciler
from lockstep.mirror.remote import Pool
from lockstep.mirror.state import SQL, State

logger = logging.getLogger(__name__)

SHOWN = 20  # objects in an audit


def drift_check(mirror: Mirror, reconciler: Reconciler) -> Callable[[Pool], Awaitable[None]]:
    """Periodic work that compares the provider with local data, stores the counts and warns of drift.

    Self-inflicted differences are left to the reconciler.
    """

    async def run(pool: Pool) -> None:
        async with mirror.open_client() as client, pool.connection() as connection:
            plan, state = Plan(mirror, connection), State(mirror, connection)
            try:
                await plan.make(client)
                await plan.verify()
                await connection.execute(SQL["note_drift"], [mirror.provider, Jsonb(dict(plan.by_others))])
                await state.forget_old_writes()
                was_imported, stopped = await state.was_imported(), await state.stopped()
            except ProviderError as error:
                logger.warning("%s: the drift check could not read the provider: %s", mirror.provider, error)
                return
            finally:
                await plan.close()
        if plan.self_inflicted or stopped:
            await reconciler.request(pool)
        if stopped:
            logger.error(STOPPED, mirror.provider, stopped, mirror.sync_command)
        if plan.by_others:
            _warn(mirror, plan, was_imported=was_imported)

    return run


def _warn(mirror: Mirror, plan: Plan, *, was_imported: bool) -> None:
    """Warns of drift; before the first import of what to do, and not of objects "to delete"."""
    if was_imported:
        counts = ", ".join(f"{count} to {kind}" for kind, count in sorted(plan.by_others.items()))
        logger.warning("%s differs from us: %s. See %s --plan", mirror.provider, counts, mirror.sync_command)
    else:
        line = "%s has objects that were never imported: run %s"
        logger.warning(line, mirror.provider, mirror.import_command)


def mirror_check(mirror: Mirror) -> Check:
    """The comparison with the provider as a part of the audit."""

    async def run() -> Finding:
        what = f"rows = {mirror.provider}"
        async with mirror.open_client() as client, open_pool(2) as pool, pool.connection() as connection:
            plan = Plan(mirror, connection)
            try:
                await plan.make(client)
                remedy = f"{mirror.sync_command} --plan" if plan.drift else ""
                remark = f"{plan.drift:,} differ: see {remedy}" if plan.drift else ""
                return Finding(
                    what, plan.listed.total(), await _differing(plan),
                    remark=remark, remedy=remedy, subscription=mirror.subscription,
                )  # fmt: skip
            except ProviderError as error:
                return Finding(what, 0, not_compared=f"the provider could not be read: {error}")
            finally:
                await plan.close()

    return lambda: asyncio.run(run())


async def _differing(plan: Plan) -> list[str]:
    found: list[str] = []
    for collection in plan.mirror.collections:
        async with plan.steps(collection, "create", "update", "delete", "not_persisted") as steps:
            async for step in steps:
                if len(found) == SHOWN:
                    return [*found, f"and {plan.drift - SHOWN:,} more"]
                found.append(f"{step.kind} {collection.name} {step.number or step.remote_id}")
    return found
