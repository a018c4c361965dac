"""The courier of one subscription in one worker: claims lanes, delivers, settles."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import psycopg

from lockstep.delivery import lanes, metrics
from lockstep.delivery.database import SQL, Pools
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.errors import (
    DeliveryError,
    Interrupted,
    Lost,
    NotYet,
    TimedOut,
    TryAgain,
    Unreachable,
    is_outage_of_ours,
)
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.subscriptions import Claim, Receipt, Skipped, Subscriber, WithinHandler
from lockstep.delivery.waiting import first_of

logger = logging.getLogger(__name__)

PROBE_SECONDS = 5.0  # how often one lane tries again while the remote does not answer
WAKE_SECONDS = 5.0  # within which all that waited for a remote try again once it answers
SETTLE_AGAIN_SECONDS = 1.0  # between attempts to write down what was delivered
GATHER_SECONDS = 0.005  # how long a settlement waits for others, where many deliveries are under way
SETTLE_SECONDS = 10.0  # how long a stopping courier waits for deliveries in flight
IDLE_SECONDS = 30.0  # then the courier of a family's member leaves, when nothing waits for it

Lot = Sequence[Claim]  # what a handler gets at once: one claim, or a batch within our own database
Result = Receipt | Skipped | None
LotHandler = Callable[[Lot], Awaitable[Result]]


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
        self._unsettled = False  # what has ended could not be written down
        self._silent = True  # the remote did not answer last time, as far as we know
        self._answered = 0.0  # when it last did, by time.monotonic()
        self._probed = 0.0
        self._figures = metrics.Figures(subscriber.name)
        self._idle_since = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Delivers until `stopping`, then lets what is in flight end and settles it.

        1. Settle what has ended since the last round. While that cannot be done, nothing more is claimed: it would be
           sent, and sent again after each lease.
        2. Claim as many due lanes as the concurrency leaves room for, and start delivering them.
        3. Wait until a delivery ends, or the worker has seen that something is due.
        """
        await self._settle()  # what was left when it was last ended by an error
        async with AsyncExitStack() as stack:
            handler = await self._connect(stack)
            stack.push_async_callback(self._let_all_end)
            while not stopping.is_set() and not await self._is_over():
                self.wakened.clear()
                if await self._settle():
                    await self._claim(handler)
                    await first_of(self.wakened, stopping, seconds=PROBE_SECONDS)
                    await self._let_more_end()
                else:
                    await first_of(stopping, seconds=SETTLE_AGAIN_SECONDS)
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
        if not self.leaves or self._in_flight or self._ended or time.monotonic() - self._idle_since < IDLE_SECONDS:
            return False
        async with self.pools.lanes.connection() as connection:
            cursor = await connection.execute(SQL["lanes"]["is_empty"], {"subscription": self.subscriber.name})
            return await cursor.fetchone() == (True,)

    async def _let_more_end(self) -> None:
        """Where much is under way, more ends in a moment: settling it together costs hardly more than settling one."""
        if 0 < len(self._ended) < len(self._in_flight) and len(self._in_flight) >= self.subscriber.concurrency // 2:
            await asyncio.sleep(GATHER_SECONDS)

    async def _claim(self, handler: LotHandler) -> None:
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
        self._silent |= any(claim.silent for claim in claims)  # another worker may have noticed

    async def _deliver(self, handler: LotHandler, lot: Lot) -> None:
        """One attempt, within the deadline. Of a batch that fails each is tried alone: most are not to blame."""
        began = time.monotonic()
        result, error = await self._attempt(handler, lot)
        if error and len(lot) > 1 and (isinstance(error, Lost) or not isinstance(error, Interrupted)):
            for claim in lot:
                await self._deliver(handler, [claim])
            return
        ended = time.monotonic()
        skipped, receipt = (result, None) if isinstance(result, Skipped) else (None, result)
        self._ended += [Outcome(claim, error, receipt, began, ended, skipped) for claim in lot]
        self.wakened.set()

    async def _attempt(self, handler: LotHandler, lot: Lot) -> tuple[Result, DeliveryError | None]:
        """What the handler has to tell, and how it failed. Whatever goes wrong is an outcome; nothing escapes."""
        try:
            async with asyncio.timeout(self.subscriber.deadline):
                return await handler(lot), None
        except DeliveryError as error:
            return error.receipt, error
        except TimeoutError:
            return None, TimedOut(f"no answer within {self.subscriber.deadline:g} s")
        except Exception as error:
            if is_outage_of_ours(error):
                return None, Interrupted(f"our database did not answer: {error}")
            logger.exception("%s: the subscriber failed on %s", self.subscriber.name, lot[0].message_id)
            return None, TryAgain(f"{type(error).__name__}: {error}")

    async def _settle(self) -> bool:
        """Writes down how deliveries ended; those within our database have done so already.

        Returns whether all of it is written. What is not stays here until it is, whatever our database does meanwhile.
        """
        ended = list(self._ended)
        if not ended:
            return True
        try:
            async with self.pools.lanes.connection() as connection:
                left = [outcome for outcome in ended if outcome.error or not self.subscriber.within]
                await self._write_down(connection, left)
        except Exception as error:
            if not is_outage_of_ours(error):
                raise
            self._tell_of_unsettled(error)
            return False
        del self._ended[: len(ended)]
        if self._unsettled:
            self._unsettled = False
            logger.info("%s: what ended is written down again; deliveries go on", self.subscriber.name)
        self._figures.count(ended)
        for outcome in ended:
            if outcome.error:
                self._log(outcome)
        await self._notice_answers(ended)
        return True

    async def _write_down(self, connection: psycopg.AsyncConnection, outcomes: list[Outcome]) -> None:
        if not outcomes:
            return
        recorded_for = self.subscriber if self.subscriber.recorded else None
        try:
            await lanes.settle(connection, outcomes, recorded_for)
        except psycopg.Error as error:
            if recorded_for is None or is_outage_of_ours(error):
                raise
            # One receipt that PostgreSQL cannot hold must not hold up everything else.
            logger.exception("%s: these attempts cannot be recorded", self.subscriber.name)
            await lanes.settle(connection, outcomes)

    def _tell_of_unsettled(self, error: Exception) -> None:
        if not self._unsettled:
            what = "%s: %d deliveries cannot be written down, nothing more is claimed until they are: %s"
            logger.error(what, self.subscriber.name, len(self._ended), str(error).partition("\n")[0])
        self._unsettled = True

    def _log(self, outcome: Outcome) -> None:
        level = logging.ERROR if outcome.delay is None else logging.INFO
        is_probe = isinstance(outcome.error, Unreachable) and not outcome.counts
        if is_probe or isinstance(outcome.error, NotYet):
            level = logging.DEBUG
        change = outcome.claim.change
        what = "dead letter" if outcome.delay is None else f"attempt {outcome.claim.attempts}"
        line = "%s: %s %s (%s): %s"
        logger.log(level, line, self.subscriber.name, change.model, change.object_id, what, outcome.cause)

    async def _notice_answers(self, outcomes: list[Outcome]) -> None:
        """Notices when the remote falls silent and when it answers again.

        It is silent when it has answered nothing since a delivery began that had no answer, and until it takes
        something. What was passed over says nothing of it, in either way.
        """
        self._answered = max([self._answered, *(outcome.ended for outcome in outcomes if outcome.is_answer)])
        unanswered = [outcome for outcome in outcomes if isinstance(outcome.error, Unreachable | TimedOut)]
        if silent := next((outcome for outcome in unanswered if outcome.began >= self._answered), None):
            await self._fall_silent(silent)
        elif self._silent and any(outcome.is_success for outcome in outcomes):
            await self._answer_again()
        elif self._silent and (refusal := next((outcome for outcome in outcomes if outcome.is_answer), None)):
            await self._note_cause(refusal)

    async def _fall_silent(self, outcome: Outcome) -> None:
        self._silent = True
        ago = time.monotonic() - outcome.began
        note = {"subscription": self.subscriber.name, "ago": ago, "cause": outcome.cause}
        async with self.pools.lanes.connection() as connection:
            cursor = await connection.execute(SQL["lanes"]["note_silence"], note)
        if cursor.rowcount:  # it is new, to all workers
            logger.warning("%s: the remote does not answer; deliveries wait: %s", self.subscriber.name, outcome.cause)
        else:
            await self._note_cause(outcome)

    async def _note_cause(self, outcome: Outcome) -> None:
        """Writes down what is seen now, of a remote that has taken nothing for a while."""
        note = {"subscription": self.subscriber.name, "cause": outcome.cause}
        async with self.pools.lanes.connection() as connection:
            await connection.execute(SQL["lanes"]["note_cause"], note)

    async def _answer_again(self) -> None:
        name = {"subscription": self.subscriber.name}
        spread = {"at_once": self.subscriber.concurrency, "seconds": timedelta(seconds=WAKE_SECONDS)}
        async with self.pools.lanes.connection() as connection:
            ended = await connection.execute(SQL["lanes"]["note_answer"], name)
            woken = await connection.execute(SQL["lanes"]["wake"], name | spread)
        self._silent = False
        if ended.rowcount or woken.rowcount:
            logger.info("%s: the remote answers; %d objects go on", self.subscriber.name, woken.rowcount)

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
