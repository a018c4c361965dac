"""What a provider does beyond what it was asked to, mended soon after.

json-server removes, at any DELETE, every object whose parent or user it does not have: a post of ours, whose user is
ours too, goes with the deletion of another one. And a post that was lost there comes back under another id, to which
its comments have to follow. So after such a push the provider is read once, and what was seen there before and is gone,
or refers to an id that is gone, is pushed again.
"""

import logging
import time

from lockstep.delivery.periodic import PeriodicWork, request_periodic
from lockstep.delivery.subscriptions import Subscriber
from lockstep.mirror.apply import Applier
from lockstep.mirror.collections import Mirror
from lockstep.mirror.plan import Plan, Step
from lockstep.mirror.remote import Pool
from lockstep.providers.errors import ProviderError

logger = logging.getLogger(__name__)

SHORTEST_DELAY = 0.3  # seconds: the pushes of one cascade are followed by one look
LONGEST_DELAY = 5.0  # seconds: what is missing there is not left missing for longer than it must
REST_RATIO = 5  # reading a small provider may take up a sixth of the time


class Aftermath:
    """Looks after one provider; asked for by the pushes of any worker, done by one of them."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._delay = SHORTEST_DELAY

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
                await self._mend(pool, subscriber)
            except ProviderError as error:
                logger.warning("%s: could not be read after a deletion: %s", self.mirror.provider, error)
                await self.request(pool)
            self._delay = min(max(SHORTEST_DELAY, REST_RATIO * (time.monotonic() - began)), LONGEST_DELAY)

        return PeriodicWork(self.name, None, run)

    async def _mend(self, pool: Pool, subscriber: Subscriber) -> None:
        async with self.mirror.open_client() as client, pool.connection() as connection:
            plan = Plan(self.mirror, connection)
            try:
                await plan.make(client, lambda collection, listed: None)
                applier = Applier(self.mirror, client, pool, subscriber, lambda: self.request(pool))
                result = await applier.run(plan, wanted=_owed)
            finally:
                await plan.close()
        if done := result.done.total():
            logger.info("%s had lost %d objects of ours; they are pushed again", self.mirror.provider, done)
        if result.done["create"] or result.failed:  # children may have to follow what was created anew
            await self.request(pool)


def _owed(step: Step) -> bool:
    """Whether it is no drift by others' hands, which only people decide about."""
    return step.owed or step.follows_parent
