"""The courier of one subscription in one worker: claims lanes, delivers, settles."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import psycopg

from lockstep.delivery import lanes, metrics
from lockstep.delivery.database import SQL, Pools
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.errors import DeliveryError, NotYet, TryAgain, Unreachable
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.subscriptions import Claim, Receipt, Subscriber, WithinHandler
from lockstep.delivery.waiting import first_of

logger = logging.getLogger(__name__)

PROBE_SECONDS = 5.0  # how often one lane tries again while the remote does not answer
GATHER_SECONDS = 0.005  # how long a settlement waits for others, where many deliveries are under way
SETTLE_SECONDS = 10.0  # how long a stopping courier waits for deliveries in flight
IDLE_SECONDS = 30.0  # then the courier of a family's member leaves, when nothing waits for it

Lot = Sequence[Claim]  # what a handler gets at once: one claim, or a batch within our own database
LotHandler = Callable[[Lot], Awaitable[Receipt | None]]


class Courier:
    """Delivers for one subscriber until told to stop. It looks at its lanes when it is `wakened`."""

    def __init__(self, subscriber: Subscriber, pools: Pools, epochs: Epochs, *, leaves: bool = False) -> None:
        self.subscriber = subscriber
        self.pools = pools
        self.epochs = epochs
        self.leaves = leaves
        self.wakened = asyncio.Event()
        self.horizon = lanes.Horizon()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._ended: list[Outcome] = []
        self._silent = True  # the remote did not answer last time, as far as we know
        self._probed = 0.0
        self._figures = metrics.Figures(subscriber.name)
        self._idle_since = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Delivers until `stopping`, then lets what is in flight end and settles it.

        1. Settle what has ended since the last round.
        2. Claim as many due lanes as the concurrency leaves room for, and start delivering them.
        3. Wait until a delivery ends, or the worker has seen that something is due.
        """
        async with AsyncExitStack() as stack:
            handler = await self._connect(stack)
            stack.push_async_callback(self._let_all_end)
            while not stopping.is_set() and not await self._is_over():
                await self._round(handler)
                await first_of(self.wakened, stopping, seconds=PROBE_SECONDS)
                await self._let_more_end()
            await self._let_all_end()
            await self._settle()

    async def _connect(self, stack: AsyncExitStack) -> LotHandler:
        if connect := self.subscriber.connect:
            handler = await stack.enter_async_context(connect(self.pools.handlers))
            return lambda lot: handler(lot[0])
        if within := self.subscriber.within:
            return lambda lot: self._deliver_within(lot, within)
        raise AssertionError("a subscriber has one of them")

    async def _deliver_within(self, lot: Lot, handler: WithinHandler) -> None:
        async with self.pools.handlers.connection() as connection:
            await lanes.deliver_within(connection, lot, handler)

    async def _is_over(self) -> bool:
        """Whether it leaves: a family's member for which nothing has been due for a while, and nothing waits."""
        if not self.leaves or self._in_flight or time.monotonic() - self._idle_since < IDLE_SECONDS:
            return False
        async with self.pools.lanes.connection() as connection:
            cursor = await connection.execute(SQL["lanes"]["is_empty"], {"subscription": self.subscriber.name})
            return await cursor.fetchone() == (True,)

    async def _let_more_end(self) -> None:
        """Where much is under way, more ends in a moment: settling it together costs hardly more than settling one."""
        if 0 < len(self._ended) < len(self._in_flight) and len(self._in_flight) >= self.subscriber.concurrency // 2:
            await asyncio.sleep(GATHER_SECONDS)

    async def _round(self, handler: LotHandler) -> None:
        self.wakened.clear()
        await self._settle()
        room = self.subscriber.concurrency - len(self._in_flight)
        if room <= 0:
            return
        if self._silent:
            await self._probe()
        batch = self.subscriber.batch
        async with self.pools.lanes.connection() as connection:
            claims = await lanes.claim(connection, self.subscriber, room * batch, self.epochs, self.horizon)
        for first in range(0, len(claims), batch):
            task = asyncio.create_task(self._deliver(handler, claims[first : first + batch]))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        if claims:
            self._idle_since = time.monotonic()

    async def _deliver(self, handler: LotHandler, lot: Lot) -> None:
        """One attempt, within the deadline. Of a batch that fails each is tried alone: most are not to blame."""
        began = time.monotonic()
        receipt, error = await self._attempt(handler, lot)
        if error and len(lot) > 1:
            for claim in lot:
                await self._deliver(handler, [claim])
            return
        ended = time.monotonic()
        self._ended += [Outcome(claim, error, receipt, began, ended) for claim in lot]
        self.wakened.set()

    async def _attempt(self, handler: LotHandler, lot: Lot) -> tuple[Receipt | None, DeliveryError | None]:
        """What the handler has to tell, and how it failed. Whatever goes wrong is an outcome; nothing escapes."""
        try:
            async with asyncio.timeout(self.subscriber.deadline):
                return await handler(lot), None
        except DeliveryError as error:
            return error.receipt, error
        except TimeoutError:
            return None, TryAgain(f"no answer within {self.subscriber.deadline:g} s")
        except psycopg.OperationalError as error:
            return None, TryAgain(f"our database did not answer: {error}")
        except Exception as error:
            logger.exception("%s: the subscriber failed on %s", self.subscriber.name, lot[0].message_id)
            return None, TryAgain(f"{type(error).__name__}: {error}")

    async def _settle(self) -> None:
        """Writes down how deliveries ended; those within our database have done so already."""
        ended, self._ended = self._ended, []
        if not ended:
            return
        for outcome in ended:
            self._figures.count(outcome.error, outcome.ended - outcome.began, final=outcome.delay is None)
            if outcome.error:
                self._log(outcome)
        async with self.pools.lanes.connection() as connection:
            if outcomes := [outcome for outcome in ended if outcome.error or not self.subscriber.within]:
                await lanes.settle(connection, outcomes, self.subscriber if self.subscriber.recorded else None)
            await self._listen(connection, ended)

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
        async with self.pools.lanes.connection() as connection:
            await connection.execute(SQL["lanes"]["probe"], {"subscription": self.subscriber.name})

    async def _let_all_end(self) -> None:
        """Before what they deliver with is closed, also when the database died: the next life settles them then."""
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=SETTLE_SECONDS - 3.0)
        for task in list(self._in_flight):
            task.cancel()
