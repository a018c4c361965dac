"""The courier of one subscription in one worker: claims lanes, delivers, settles."""

import asyncio
import logging
from contextlib import AsyncExitStack
from uuid import UUID

import psycopg

from lockstep.delivery import lanes
from lockstep.delivery.database import SQL
from lockstep.delivery.errors import DeliveryError, NotYet, TryAgain, Unreachable
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.subscriptions import Claim, Handler, Pool, Subscriber, WithinHandler
from lockstep.delivery.waiting import first_of

logger = logging.getLogger(__name__)

SHORTEST_POLL, LONGEST_POLL = 0.05, 1.0  # seconds between looks at the lanes while nothing is due
PROBE_SECONDS = 5.0  # how often one lane tries again while the remote does not answer
SETTLE_SECONDS = 10.0  # how long a stopping courier waits for deliveries in flight


class Courier:
    """Delivers for one subscriber until told to stop."""

    def __init__(self, subscriber: Subscriber, pool: Pool, epoch: UUID) -> None:
        self.subscriber = subscriber
        self.pool = pool
        self.epoch = epoch
        self.wakened = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._ended: list[Outcome] = []
        self._silent = True  # the remote did not answer last time, as far as we know
        self._probed = 0.0
        self._poll = SHORTEST_POLL

    async def run(self, stopping: asyncio.Event) -> None:
        """Delivers until `stopping`, then lets what is in flight end and settles it.

        1. Settle what has ended since the last round.
        2. Claim as many due lanes as the concurrency leaves room for, and start delivering them.
        3. Wait until a delivery ends, the relay has fanned out, or it is time to look again.
        """
        async with AsyncExitStack() as stack:
            handler = await self._connect(stack)
            while not stopping.is_set():
                busy = await self._round(handler)
                self._poll = SHORTEST_POLL if busy else min(self._poll * 2, LONGEST_POLL)
                await self._rest(stopping)
            await self._finish()

    async def _connect(self, stack: AsyncExitStack) -> Handler:
        if connect := self.subscriber.connect:
            return await stack.enter_async_context(connect(self.pool))
        if within := self.subscriber.within:
            return lambda claim: self._deliver_within(claim, within)
        raise AssertionError("a subscriber has one of them")

    async def _deliver_within(self, claim: Claim, handler: WithinHandler) -> None:
        async with self.pool.connection() as connection:
            await lanes.deliver_within(connection, claim, handler)

    async def _round(self, handler: Handler) -> bool:
        settled = await self._settle()
        room = self.subscriber.concurrency - len(self._in_flight)
        if room <= 0:
            return True
        if self._silent:
            await self._probe()
        async with self.pool.connection() as connection:
            claims = await lanes.claim(connection, self.subscriber, room, self.epoch)
        for claim in claims:
            task = asyncio.create_task(self._deliver(handler, claim))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        return bool(claims or settled)

    async def _deliver(self, handler: Handler, claim: Claim) -> None:
        """One attempt, within the deadline. Whatever goes wrong is an outcome; nothing escapes."""
        try:
            async with asyncio.timeout(self.subscriber.deadline):
                await handler(claim)
            outcome = Outcome(claim)
        except DeliveryError as error:
            outcome = Outcome(claim, error)
        except TimeoutError:
            outcome = Outcome(claim, TryAgain(f"no answer within {self.subscriber.deadline:g} s"))
        except psycopg.OperationalError as error:
            outcome = Outcome(claim, TryAgain(f"our database did not answer: {error}"))
        except Exception as error:
            logger.exception("%s: the subscriber failed on %s", self.subscriber.name, claim.message_id)
            outcome = Outcome(claim, TryAgain(f"{type(error).__name__}: {error}"))
        self._ended.append(outcome)
        self.wakened.set()

    async def _settle(self) -> bool:
        """Writes down how deliveries ended; those within our database have done so, and doing it again is harmless."""
        outcomes, self._ended = self._ended, []
        if not outcomes:
            return False
        for outcome in outcomes:
            if outcome.error:
                self._log(outcome)
        async with self.pool.connection() as connection:
            await lanes.settle(connection, outcomes)
            await self._listen(connection, outcomes)
        return True

    def _log(self, outcome: Outcome) -> None:
        level = logging.ERROR if outcome.delay is None else logging.INFO
        if isinstance(outcome.error, NotYet):
            level = logging.DEBUG
        change = outcome.claim.change
        what = "dead letter" if outcome.delay is None else f"attempt {outcome.claim.attempts}"
        line = "%s: %s %s (%s): %s"
        logger.log(level, line, self.subscriber.name, change.model, change.object_id, what, outcome.cause)

    async def _listen(self, connection: psycopg.AsyncConnection, outcomes: list[Outcome]) -> None:
        """Notices when the remote falls silent and when it answers again."""
        if any(isinstance(outcome.error, Unreachable) for outcome in outcomes):
            if not self._silent:
                logger.warning("%s: the remote does not answer; deliveries wait", self.subscriber.name)
            self._silent = True
        elif self._silent and any(outcome.error is None for outcome in outcomes):
            self._silent = False
            cursor = await connection.execute(SQL["lanes"]["wake"], {"subscription": self.subscriber.name})
            if cursor.rowcount:
                logger.info("%s: the remote answers; %d objects go on", self.subscriber.name, cursor.rowcount)

    async def _probe(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._probed < PROBE_SECONDS:
            return
        self._probed = now
        async with self.pool.connection() as connection:
            await connection.execute(SQL["lanes"]["probe"], {"subscription": self.subscriber.name})

    async def _rest(self, stopping: asyncio.Event) -> None:
        await first_of(self.wakened, stopping, seconds=self._poll)
        self.wakened.clear()

    async def _finish(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=SETTLE_SECONDS - 3.0)
        for task in list(self._in_flight):
            task.cancel()
        await self._settle()
