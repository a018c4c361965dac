"""Reconciliation: repairs the side effects of our own writes at a provider, up to a ceiling.

At any DELETE, json-server removes every object whose parent or user it lacks: a post of ours, whose user it does not
have, disappears with the deletion of another one. A lost post is created again under another id, which its comments
must follow. A write with an unknown outcome may take effect late, twice or not at all. So after such writes the
provider is read, soon and again later, and missing copies, old ids and remains of such writes are repaired.

A read may be wrong: a replica may be behind, a page may be missing. So a provider that has shrunk is read again later
before any repair. Beyond a ceiling the repair stops, reports it, and waits until an operator runs the synchronisation
or the provider recovers.
"""

import logging
import time
from collections import Counter

from lockstep.delivery.periodic import PeriodicWork, request_periodic
from lockstep.delivery.subscriptions import Subscriber
from lockstep.http.errors import ProviderError
from lockstep.mirror.apply import Applier
from lockstep.mirror.collections import Mirror
from lockstep.mirror.plan import Plan
from lockstep.mirror.remote import Pool
from lockstep.mirror.state import State

logger = logging.getLogger(__name__)

MIN_DELAY = 0.3  # seconds, so that one read follows the pushes of a cascade
MAX_DELAY = 5.0  # seconds, so that missing copies are repaired soon
MAX_PAUSE = 600.0  # seconds, after failed or incomplete repairs, and while the repair is stopped
WATCH_SECONDS = 5.0
STOPPED = "%s: mending has stopped: %s. See %s --plan; without --plan it is mended"
REST_RATIO = 5  # reading a small provider may take up a sixth of the time


class Reconciler:
    """The reconciliation of one provider, requested by the pushes of any worker and run by one of them."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._delay = MIN_DELAY
        self._failures = 0  # failed or incomplete repairs in a row

    @property
    def name(self) -> str:
        """The name of the periodic work."""
        return f"{self.mirror.provider}-reconcile"

    async def request(self, pool: Pool) -> None:
        """Requests a run soon; the larger the provider, the later."""
        await request_periodic(pool, self.name, self._delay)

    def work(self, subscriber: Subscriber) -> PeriodicWork:
        """The periodic work; `subscriber` is the mirror's, whose lanes the pushes hold."""

        async def run(pool: Pool) -> None:
            began = time.monotonic()
            try:
                await self._look(pool, subscriber)
            except ProviderError as error:
                pause = await self._look_later(pool)
                what = "%s: could not be read after a write, and is read again in %g s: %s"
                logger.warning(what, self.mirror.provider, pause, error)
            self._delay = min(max(MIN_DELAY, REST_RATIO * (time.monotonic() - began)), MAX_DELAY)

        return PeriodicWork(self.name, None, run)

    def watch(self) -> PeriodicWork:
        """The periodic work that requests runs that are due without a push."""

        async def run(pool: Pool) -> None:
            async with pool.connection() as connection:
                is_due = await State(self.mirror, connection).is_due()
            if is_due:
                await self.request(pool)

        return PeriodicWork(f"{self.mirror.provider}-watch", WATCH_SECONDS, run)

    async def _look(self, pool: Pool, subscriber: Subscriber) -> None:
        async with self.mirror.open_client() as client, pool.connection() as connection:
            plan, state = Plan(self.mirror, connection), State(self.mirror, connection)
            try:
                await plan.make(client, adopt=True)
                await plan.verify()
                await state.looked(plan.began)
                if not await self._may_repair(plan, state):
                    return
                applier = Applier(self.mirror, client, pool, subscriber, lambda: self.request(pool))
                result = await applier.run(plan, wanted=lambda step: step.is_self_inflicted)
            finally:
                await plan.close()
        if result.failed:
            await self._look_later(pool)
        else:
            self._failures = 0
        if done := result.done.total():
            logger.info("%s differed in %d objects by our own writes; mended", self.mirror.provider, done)
            await self.request(pool)  # deletions remove further objects, and children follow new parents

    async def _look_later(self, pool: Pool) -> float:
        """Requests a run after a failed one. Returns the seconds until then, which grow with each failure."""
        self._failures += 1
        pause: float = min(MAX_DELAY * 2 ** min(self._failures, 10), MAX_PAUSE)  # a power of a week is no float
        async with pool.connection() as connection:
            await State(self.mirror, connection).look_later(pause)
        return pause

    async def _may_repair(self, plan: Plan, state: State) -> bool:
        """Whether there is something to repair within the limits of a worker."""
        planned = await _self_inflicted(plan)
        if not planned:
            await state.resume()
            return False
        if await state.stopped():
            await state.look_later(MAX_PAUSE)  # the stop ends once the provider has recovered
            return False
        limits = self.mirror.limits()
        if plan.has_shrunk and not await state.suspect():
            logger.warning(
                "%s shows %d of %d objects of ours no more; it is read again in %g s before anything is done",
                self.mirror.provider, plan.gone, plan.seen, limits.second_look,
            )  # fmt: skip
            await state.look_later(limits.second_look)
            return False
        if too_much := limits.ceiling.exceeded_by(planned):
            reason = f"{', '.join(too_much)} without a person"
            await state.stop(reason)
            await state.look_later(MAX_PAUSE)
            logger.error(STOPPED, self.mirror.provider, reason, self.mirror.sync_command)
            return False
        if not plan.has_shrunk:
            await state.resume()
        return True


async def _self_inflicted(plan: Plan) -> Counter[str]:
    """The numbers of self-inflicted differences, by kind."""
    found: Counter[str] = Counter()
    for collection in plan.mirror.collections if plan.todo else ():
        async with plan.steps(collection, "create", "update", "delete") as steps:
            async for step in steps:
                found[step.kind] += step.is_self_inflicted
    return +found
