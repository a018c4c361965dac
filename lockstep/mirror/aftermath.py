"""What came of our own writes beyond what was answered, mended soon after, and how far that goes without a person.

json-server removes, at any DELETE, every object whose parent or user it does not have: a post of ours, whose user is
ours too, goes with the deletion of another one. And a post that was lost there comes back under another id, to which
its comments have to follow. A write without a clear answer may have its effect late, twice or not at all. So after such
writes the provider is read, soon and again later, and what was seen there before and is gone, what refers to an id that
is gone, and what such a write left behind is mended.

What is read may be wrong: a replica that is behind, a page that is missing. So a provider that shows much less than it
had is read again some time later, before anything is done. And beyond a ceiling nothing is done: the mending stops,
says so, and waits for a person to run the synchronisation, or for the provider to be as it was.
"""

import logging
import time
from collections import Counter

from lockstep.delivery.periodic import PeriodicWork, request_periodic
from lockstep.delivery.subscriptions import Subscriber
from lockstep.mirror.apply import Applier
from lockstep.mirror.collections import Mirror
from lockstep.mirror.plan import Plan
from lockstep.mirror.remote import Pool
from lockstep.mirror.state import State
from lockstep.providers.errors import ProviderError

logger = logging.getLogger(__name__)

SHORTEST_DELAY = 0.3  # seconds: the pushes of one cascade are followed by one look
LONGEST_DELAY = 5.0  # seconds: what is missing there is not left missing for longer than it must
LONGEST_PAUSE = 600.0  # seconds, after looks that failed or left something unmended, and while the mending is stopped
WATCH_SECONDS = 5.0
STOPPED = "%s: mending has stopped: %s. See manage.py sync_with_fake_system --plan; without --plan it is mended"
REST_RATIO = 5  # reading a small provider may take up a sixth of the time


class Aftermath:
    """Looks after one provider; asked for by the pushes of any worker, done by one of them."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._delay = SHORTEST_DELAY
        self._failures = 0  # looks in a row that failed or left something unmended

    @property
    def name(self) -> str:
        """The name of the periodic work."""
        return f"{self.mirror.provider}-aftermath"

    async def request(self, pool: Pool) -> None:
        """Asks for a look soon; the larger the provider, the later."""
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
            self._delay = min(max(SHORTEST_DELAY, REST_RATIO * (time.monotonic() - began)), LONGEST_DELAY)

        return PeriodicWork(self.name, None, run)

    def watch(self) -> PeriodicWork:
        """Asks for a look when one is due that was not asked for by a push."""

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
                await plan.make(client, lambda collection, listed: None, adopt=True)
                await plan.verify()
                await state.looked(plan.began)
                if not await self._may_mend(plan, state):
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
            await self.request(pool)  # deletions sweep others away, and children follow what was created anew

    async def _look_later(self, pool: Pool) -> float:
        """Asks for a look after one that failed; returns in how many seconds, more after each."""
        self._failures += 1
        pause: float = min(LONGEST_DELAY * 2 ** min(self._failures, 10), LONGEST_PAUSE)  # a power of a week is no float
        async with pool.connection() as connection:
            await State(self.mirror, connection).look_later(pause)
        return pause

    async def _may_mend(self, plan: Plan, state: State) -> bool:
        """Whether there is something to mend, and no more than a worker does by itself."""
        planned = await _self_inflicted(plan)
        if not planned:
            await state.go_on()
            return False
        if await state.stopped():
            await state.look_later(LONGEST_PAUSE)  # the stop is over once the provider is as it was
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
            await state.look_later(LONGEST_PAUSE)
            logger.error(STOPPED, self.mirror.provider, reason)
            return False
        if not plan.has_shrunk:
            await state.go_on()
        return True


async def _self_inflicted(plan: Plan) -> Counter[str]:
    """How many steps there are that are no drift by others' hands, by kind."""
    found: Counter[str] = Counter()
    for collection in plan.mirror.collections if plan.todo else ():
        async with plan.steps(collection, "create", "update", "delete") as steps:
            async for step in steps:
                found[step.kind] += step.is_self_inflicted
    return +found
