"""The courier of one subscription in one worker: claims lanes, delivers, settles."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import psycopg

from lockstep import telemetry
from lockstep.changes.database_errors import is_outage
from lockstep.delivery import counters, lanes, tracing
from lockstep.delivery.database import Pools
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.errors import (
    DeliveryError,
    DependencyPending,
    Interrupted,
    LeaseLost,
    Receipt,
    RetryLater,
    TimedOut,
    Unreachable,
)
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.subscriptions import Claim, DeadLetterHandler, Skipped, Subscriber, WithinHandler
from lockstep.delivery.waiting import Signal, first_of, is_stop
from lockstep.sql import statements

LANES = statements(__file__, "lanes")

logger = logging.getLogger(__name__)

PROBE_SECONDS = 5.0  # between retries of one lane while the remote does not answer
WAKE_SECONDS = 5.0  # within which all lanes that waited for a remote retry once it answers
SETTLE_AGAIN_SECONDS = 1.0  # between attempts to settle
GATHER_SECONDS = 0.005  # how long a settlement waits for more outcomes, where many deliveries are in flight
DRAIN_SECONDS = 7.0  # how long a stopping courier waits for deliveries in flight: less than STOP_SECONDS (process.py)
IDLE_SECONDS = 30.0  # after which an idle courier of a family's member exits

Batch = Sequence[Claim]  # the claims of one handler call: one, or several for handlers within the database
Result = Receipt | Skipped | None
BatchHandler = Callable[[Batch], Awaitable[Result]]


class Courier:
    """Delivers for one subscriber until stopped. It claims lanes whenever `wake` is set.

    An `ephemeral` one exits when it is idle.
    """

    def __init__(self, subscriber: Subscriber, pools: Pools, epochs: Epochs, *, ephemeral: bool = False) -> None:
        self.subscriber = subscriber
        self.pools = pools
        self.epochs = epochs
        self.ephemeral = ephemeral
        self.wake = Signal()
        self.scan_floor = lanes.ScanFloor()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._ended: list[Outcome] = []
        self._reports: set[asyncio.Task[None]] = set()
        self._unsettled = False  # the last settlement failed
        self._unreachable = True  # the remote did not answer last time, or it is unknown
        self._answered = 0.0  # when it last answered, by time.monotonic()
        self._probed = 0.0
        self._metrics = counters.SubscriptionMetrics(subscriber.name)
        self._idle_since = time.monotonic()

    async def run(self, stopping: Signal) -> None:
        """Delivers until `stopping`, then waits for the deliveries in flight and settles them.

        1. Settle the deliveries that have ended since the last round. While that fails, nothing more is claimed: it
           would be sent again after each lease.
        2. Claim as many due lanes as the concurrency allows, and start delivering them.
        3. Wait until a delivery ends, or the worker finds a due lane.
        """
        await self._settle()  # outcomes left by a run that ended with an error
        async with AsyncExitStack() as stack:
            handler = await self._connect(stack)
            stack.push_async_callback(self._drain)
            while not stopping.is_set() and not await self._should_exit():
                self.wake.clear()
                if await self._settle():
                    await self._claim(handler)
                    await first_of(self.wake, stopping, seconds=PROBE_SECONDS)
                    await self._coalesce()
                else:
                    await first_of(stopping, seconds=SETTLE_AGAIN_SECONDS)
            await self._drain()
            await self._settle()

    async def _connect(self, stack: AsyncExitStack) -> BatchHandler:
        if connect := self.subscriber.connect:
            handler = await stack.enter_async_context(connect(self.pools.handlers))
            return lambda batch: handler(batch[0])
        if within := self.subscriber.within:
            return lambda batch: self._deliver_within(batch, within)
        if transactional := self.subscriber.transactional:
            return transactional
        raise AssertionError("a subscriber has one of them")

    async def _deliver_within(self, batch: Batch, handler: WithinHandler) -> None:
        async with self.pools.handlers.connection() as connection:
            await lanes.deliver_within(connection, batch, handler)

    async def _should_exit(self) -> bool:
        """Whether an ephemeral courier has been idle for IDLE_SECONDS and its subscription has no lanes."""
        if not self.ephemeral or self._in_flight or self._ended or time.monotonic() - self._idle_since < IDLE_SECONDS:
            return False
        async with self.pools.lanes.connection() as connection:
            cursor = await connection.execute(LANES["is_empty"], {"subscription": self.subscriber.name})
            return await cursor.fetchone() == (True,)

    async def _coalesce(self) -> None:
        """Waits briefly where many deliveries are in flight: settling them together costs little more than one."""
        if 0 < len(self._ended) < len(self._in_flight) and len(self._in_flight) >= self.subscriber.concurrency // 2:
            await asyncio.wait(self._in_flight, timeout=GATHER_SECONDS)

    async def _claim(self, handler: BatchHandler) -> None:
        room = self.subscriber.concurrency - len(self._in_flight)
        if room <= 0:
            return
        if self._unreachable:
            await self._probe()
        size = self.subscriber.batch
        async with self.pools.lanes.connection() as connection:
            claims = await lanes.claim(connection, self.subscriber, room * size, self.epochs, self.scan_floor)
        for first in range(0, len(claims), size):
            task = asyncio.create_task(self._deliver(handler, claims[first : first + size]))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        if claims:
            self._idle_since = time.monotonic()
        self._unreachable |= any(claim.silent for claim in claims)  # another worker may have noted it

    async def _deliver(self, handler: BatchHandler, batch: Batch) -> None:
        """Makes one attempt, within the deadline. A batch that fails is retried claim by claim."""
        began = time.monotonic()
        with tracing.attempt(self.subscriber, batch) as attempt:
            result, error = await self._attempt(handler, batch)
            attempt.end(result, error)
        if error and len(batch) > 1 and (isinstance(error, LeaseLost) or not isinstance(error, Interrupted)):
            for claim in batch:
                await self._deliver(handler, [claim])
            return
        ended = time.monotonic()
        skipped, receipt = (result, None) if isinstance(result, Skipped) else (None, result)
        self._ended += [
            Outcome(claim, error, receipt, began, ended, skipped, traceparent)
            for claim, traceparent in zip(batch, attempt.traceparents, strict=True)
        ]
        self.wake.set()

    async def _attempt(self, handler: BatchHandler, batch: Batch) -> tuple[Result, DeliveryError | None]:
        """Returns the handler's receipt and its error. Every exception becomes an outcome, SystemExit too."""
        limit = asyncio.timeout(self.subscriber.deadline)
        try:
            async with limit:
                return await handler(batch), None
        except DeliveryError as error:
            return error.receipt, error
        except TimeoutError as error:
            cause = str(error) or "the handler timed out"
            return None, TimedOut(f"no answer within {self.subscriber.deadline:g} s" if limit.expired() else cause)
        except BaseException as error:
            if is_stop(error):
                raise
            if is_outage(error):
                return None, Interrupted(f"our database did not answer: {error}")
            logger.exception("%s: the subscriber failed on %s", self.subscriber.name, _named(batch))
            return None, RetryLater(f"{type(error).__name__}: {error}")

    async def _settle(self) -> bool:
        """Settles the deliveries that ended; successful ones within the database are settled already.

        Returns whether all are settled. The others are kept until a settlement succeeds.
        """
        ended = list(self._ended)
        if not ended:
            return True
        try:
            held = await self._write_down(
                [outcome for outcome in ended if outcome.error or not self.subscriber.is_exactly_once]
            )
        except Exception as error:
            if not is_outage(error):
                raise
            self._note_unsettled(error)
            return False
        del self._ended[: len(ended)]
        if self._unsettled:
            self._unsettled = False
            logger.info("%s: outcomes are written down again; deliveries continue", self.subscriber.name)
        self._metrics.count(ended)
        for outcome in ended:
            if outcome.error:
                self._log(outcome)
        self._report_dead_letters(held)
        await self._track_reachability(ended)
        return True

    async def _write_down(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Settles these, and returns those of claims that still held their lanes."""
        if not outcomes:
            return []
        recorded_for = self.subscriber if self.subscriber.recorded else None
        async with self.pools.lanes.connection() as connection:
            try:
                return await lanes.settle(connection, outcomes, recorded_for)
            except psycopg.Error as error:
                if recorded_for is None or is_outage(error):
                    raise
                # One receipt that PostgreSQL cannot hold must not hold up everything else.
                logger.exception("%s: these attempts cannot be recorded", self.subscriber.name)
                return await lanes.settle(connection, outcomes)

    def _note_unsettled(self, error: Exception) -> None:
        self._metrics.count_unsettled()
        if not self._unsettled:
            what = "%s: %d deliveries cannot be written down, nothing more is claimed until they are: %s"
            logger.error(what, self.subscriber.name, len(self._ended), str(error).partition("\n")[0])
        self._unsettled = True

    def _log(self, outcome: Outcome) -> None:
        level = logging.ERROR if outcome.delay is None else logging.INFO
        is_probe = isinstance(outcome.error, Unreachable) and not outcome.counts
        if is_probe or isinstance(outcome.error, DependencyPending):
            level = logging.DEBUG
        change = outcome.claim.change
        what = "dead letter" if outcome.delay is None else f"attempt {outcome.claim.attempts}"
        line = "%s: %s %s (%s): %s"
        span = telemetry.ids_of(outcome.traceparent)
        logger.log(level, line, self.subscriber.name, change.model, change.object_id, what, outcome.cause, extra=span)

    def _report_dead_letters(self, settled: Sequence[Outcome]) -> None:
        """Calls the subscriber's `on_dead_letter` for each final failure, in a task of its own."""
        if report := self.subscriber.on_dead_letter:
            for outcome in settled:
                if outcome.error and outcome.delay is None:
                    task = asyncio.create_task(self._report(report, outcome))
                    self._reports.add(task)
                    task.add_done_callback(self._reports.discard)

    async def _report(self, report: DeadLetterHandler, outcome: Outcome) -> None:
        try:
            async with asyncio.timeout(self.subscriber.deadline):
                await report(outcome.claim.sent, outcome.cause)
        except BaseException as error:
            if is_stop(error):
                raise
            logger.exception("%s: on_dead_letter failed on %s", self.subscriber.name, _named([outcome.claim]))

    async def _track_reachability(self, outcomes: list[Outcome]) -> None:
        """Notes when the remote becomes unreachable and when it answers again.

        It is unreachable from a delivery without an answer, since whose beginning it has answered nothing, until a
        delivery succeeds. Skipped changes do not count.
        """
        answered = [outcome for outcome in outcomes if outcome.is_answer]
        self._answered = max([self._answered, *(outcome.ended for outcome in answered)])
        unanswered = [outcome for outcome in outcomes if isinstance(outcome.error, Unreachable | TimedOut)]
        if silent := next((outcome for outcome in unanswered if outcome.began >= self._answered), None):
            await self._mark_unreachable(silent)
        elif self._unreachable and any(outcome.is_success for outcome in outcomes):
            await self._mark_reachable()
        elif self._unreachable and answered:
            await self._note_cause(answered[0])

    async def _mark_unreachable(self, outcome: Outcome) -> None:
        self._unreachable = True
        ago = time.monotonic() - outcome.began
        note = {"subscription": self.subscriber.name, "ago": ago, "cause": outcome.cause}
        async with self.pools.lanes.connection() as connection:
            cursor = await connection.execute(LANES["note_silence"], note)
        if cursor.rowcount:  # no other worker noted it before
            logger.warning("%s: the remote does not answer; deliveries wait: %s", self.subscriber.name, outcome.cause)
        else:
            await self._note_cause(outcome)

    async def _note_cause(self, outcome: Outcome) -> None:
        """Stores the latest failure of an unreachable remote."""
        note = {"subscription": self.subscriber.name, "cause": outcome.cause}
        async with self.pools.lanes.connection() as connection:
            await connection.execute(LANES["note_cause"], note)

    async def _mark_reachable(self) -> None:
        name = {"subscription": self.subscriber.name}
        spread = {"at_once": self.subscriber.concurrency, "seconds": timedelta(seconds=WAKE_SECONDS)}
        async with self.pools.lanes.connection() as connection:
            ended = await connection.execute(LANES["note_answer"], name)
            woken = await connection.execute(LANES["release_unreachable"], name | spread)
        self._unreachable = False
        if ended.rowcount or woken.rowcount:
            logger.info("%s: the remote answers; %d objects continue", self.subscriber.name, woken.rowcount)

    async def _probe(self) -> None:
        now = time.monotonic()
        if now - self._probed < PROBE_SECONDS:
            return
        self._probed = now
        async with self.pools.lanes.connection() as connection:
            await connection.execute(LANES["probe"], {"subscription": self.subscriber.name})

    async def _drain(self) -> None:
        """Waits for tasks in flight before the handler is closed, also after a database error; then cancels them."""
        if under_way := self._in_flight | self._reports:
            await asyncio.wait(under_way, timeout=DRAIN_SECONDS)
        for task in [*self._in_flight, *self._reports]:
            task.cancel()


def _named(batch: Batch) -> str:
    """The first claim for the log, and how many more there are, which are tried again and logged one by one."""
    claim = batch[0]
    named = f"{claim.change.model} {claim.change.object_id} (attempt {claim.attempts}, message {claim.message_id})"
    return f"{named} and {len(batch) - 1} more" if len(batch) > 1 else named
