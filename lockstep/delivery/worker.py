"""The worker: one process with one event loop. Any number can run, on any number of machines.

    relay       change log → lanes, for all subscriptions
    due watch   finds subscriptions with due lanes, and wakes their couriers
    couriers    lanes → remotes, one for each subscription
    periodic    upkeep and checks

Workers share nothing but the database, and are coordinated by its locks and leases.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import psycopg

from lockstep.changes.connecting import WatchedAsyncConnection, connection_parameters
from lockstep.changes.database_errors import UnsuitableDatabase, is_transient, unsuitable
from lockstep.changes.wakeup import LISTEN
from lockstep.delivery import counters
from lockstep.delivery.availability import RECOVERY_SECONDS, Availability, Standby
from lockstep.delivery.courier import Courier
from lockstep.delivery.database import APPLICATION_NAME, Connection, Pools, open_pools
from lockstep.delivery.epochs import ClusterMismatch, Epochs, ServerState, Watch, load_epochs, note_timeline
from lockstep.delivery.heartbeat import BEAT_SECONDS, Heartbeat
from lockstep.delivery.periodic import declare_periodic, run_periodic
from lockstep.delivery.providers import store_figures
from lockstep.delivery.relay import FEW, advance, bring_near, declare, subscriptions_due
from lockstep.delivery.subscriptions import Family, Pool, Subscriber
from lockstep.delivery.waiting import Signal, first_of, is_stop
from lockstep.sql import statements

LANES = statements(__file__, "lanes")

T = TypeVar("T")

logger = logging.getLogger(__name__)

MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.02, 0.5  # between reads of the change log
YIELD_SECONDS = 0.001  # after a fan-out: couriers start before the relay continues
FEW_SECONDS = 0.003  # after a fan-out of a few changes: their couriers claim them before the relay reads again
MIN_SCAN_SECONDS, MAX_SCAN_SECONDS = 0.05, 0.5  # between scans for due lanes
FULL_SCAN_INTERVAL = 10.0  # seconds between scans without a floor
FAMILY_CONNECTIONS = 8  # database connections for the members of all families together
WATCH_SECONDS = 1.0  # between checks of the database's state and clock

TURNED_BACK = (
    "the database is not the one that it was: %s. A replica was promoted, or a backup was put in its place. "
    "Done: subscriptions and periodic work are declared again. Places, lanes and message ids are part of the database, "
    "so deliveries continue. Left to you: changes that it lost may have been delivered; "
    "`manage.py lockstep audit` compares."
)
STEPPED_BACK = (
    "the database's clock stepped back by %.0f s. Done: what was put off until the old time is due again. Left to you: "
    "see to the clock."
)


class Worker:
    """Delivers the changes that these subscribers and families follow, until `stopping` is set."""

    def __init__(
        self, subscribers: Sequence[Subscriber], families: Sequence[Family] = (), *, periodic: bool = True
    ) -> None:
        self.subscribers = {subscriber.name: subscriber for subscriber in subscribers}
        self.families = {family.name: family for family in families}
        self.stopping = Signal()
        self.tell: Callable[[str], object] = logger.info  # that it is ready, and that it has stopped
        self._does_periodic_work = periodic
        self.log_grew = Signal()  # set by a notification of a commit
        self.availability = Availability(self.stopping)
        self.heartbeat = Heartbeat("the relay", "the due watch", "the heartbeat")
        self._epochs: Epochs | None = None  # until the worker is ready
        self._watch = Watch()
        self._verifying = asyncio.Lock()
        self._cluster_mismatch = False
        # By how many seconds the clock stepped back, while lanes wait for the old time; 0 for an unknown step.
        self._stepped_back: float | None = 0.0
        self._wake: Callable[[str], None] = lambda name: None
        self._couriers: dict[str, Courier] = {}

    @property
    def complaint(self) -> str:
        """The stalled parts; "" for none, before the start, and while the worker waits for the database."""
        return "" if self.waits_for else self.heartbeat.complaint

    @property
    def waits_for(self) -> str:
        """The temporary reason why the worker does not deliver; "" for none."""
        if self.availability.is_awaited:
            return "the database is waited for"
        return "" if self._epochs else "it is starting"

    async def run(self) -> None:
        """Runs until stopped. Waits for a database that is unavailable.

        Raises ClusterMismatch and UnsuitableDatabase.
        """
        await self.availability.wait()
        async with open_pools(self._connections, self._verify_cluster) as pools:
            self._epochs = await self._supervise("the start", lambda: self._begin(pools.handlers))
            if self._epochs:
                await self._deliver(pools, self._epochs)
        if self._cluster_mismatch:
            raise ClusterMismatch

    async def _deliver(self, pools: Pools, epochs: Epochs) -> None:
        names = [*self.subscribers, *(f"{family}:*" for family in self.families)]
        self.tell(f"worker ready: {', '.join(names) or 'no subscriptions'}")
        self.heartbeat.start()
        async with asyncio.TaskGroup() as tasks:
            self._spawn_couriers(tasks, pools, epochs)
            tasks.create_task(self._supervise("the relay", lambda: self._relay(pools.relay)))
            tasks.create_task(self._supervise("the due watch", lambda: self._watch_due(pools.lanes)))
            tasks.create_task(self._supervise("the heartbeat", self._listen))
            tasks.create_task(self._report_hangs())
            if self._does_periodic_work:
                work = self._supervise("the periodic work", lambda: run_periodic(pools.handlers, self.stopping))
                tasks.create_task(work)
        self.tell("worker stopped")

    async def _verify_cluster(self, connection: Connection) -> None:
        """Checks every new connection before its first use: a database cannot be replaced behind an open one.

        Raises Standby on a standby. After a rollback of the database, subscriptions are declared again, because they
        may be lost. Another cluster means a restored dump: an operator has to decide, and the worker stops.
        """
        async with self._verifying:
            state = await ServerState.read(connection)
            if state.is_standby:
                raise Standby(str(Standby.__doc__))
            if self._watch.is_other_cluster(state):
                raise self._stop_for_cluster_mismatch()
            if self._epochs and (how := self._watch.turned_back(state)):
                logger.warning(TURNED_BACK, how)
                try:
                    self._epochs.first = (await self._declare(connection)).first
                except ClusterMismatch as error:
                    raise self._stop_for_cluster_mismatch() from error
            self._note(state)

    def _stop_for_cluster_mismatch(self) -> psycopg.OperationalError:
        self._cluster_mismatch = True
        self.stopping.set()
        return psycopg.OperationalError("another database cluster answers at this address; the worker stops")

    def _note(self, state: ServerState) -> None:
        """Checks whether the clock stepped back, and stores the state."""
        if step := self._watch.stepped_back(state):
            logger.warning(STEPPED_BACK, step)
            self._stepped_back = (self._stepped_back or 0.0) + step
        self._watch.note(state)

    @property
    def _connections(self) -> int:
        """The most connections that handlers and periodic work need at once."""
        own = sum(subscriber.connections for subscriber in self.subscribers.values())
        return 4 + own + (FAMILY_CONNECTIONS if self.families else 0)

    def _subscriber(self, name: str) -> Subscriber | None:
        """The subscriber of this subscription; None where this code has none."""
        family = self.families.get(name.partition(":")[0])
        return self.subscribers.get(name) or (family.member(name) if family else None)

    def _spawn_couriers(self, tasks: asyncio.TaskGroup, pools: Pools, epochs: Epochs) -> None:
        """Starts couriers for all subscribers, and one for a family's member whenever it has a due lane."""

        def spawn(subscriber: Subscriber, *, ephemeral: bool) -> None:
            courier = self._couriers[subscriber.name] = Courier(subscriber, pools, epochs, ephemeral=ephemeral)
            task = tasks.create_task(
                self._supervise(f"the courier of {subscriber.name}", lambda: courier.run(self.stopping))
            )
            task.add_done_callback(lambda _: self._couriers.pop(subscriber.name))

        def wake(name: str) -> None:
            if courier := self._couriers.get(name):
                courier.wake.set()
            elif not self.stopping.is_set() and (subscriber := self._subscriber(name)):
                spawn(subscriber, ephemeral=True)

        for subscriber in self.subscribers.values():
            spawn(subscriber, ephemeral=False)
        self._wake = wake

    async def _supervise(self, part: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """Restarts the work whenever a database outage or a bug has ended it.

        Returns None when the worker is stopped. Raises ClusterMismatch and UnsuitableDatabase.
        """
        while True:
            try:
                return await work()
            except (ClusterMismatch, UnsuitableDatabase):
                raise
            except BaseException as error:
                if is_stop(error):
                    raise
                if self.stopping.is_set():
                    return None
                if is_transient(error) or unsuitable(error):
                    await self.availability.wait(error)
                else:
                    logger.exception("%s failed, starting it again", part)
                    await first_of(self.stopping, seconds=RECOVERY_SECONDS)

    async def _report_hangs(self) -> None:
        """Logs stalled parts every second."""
        while not self.stopping.is_set():
            self._report_hang()
            await first_of(self.stopping, seconds=1.0)

    def _report_hang(self) -> None:
        """Logs stalled parts, except while the worker waits for the database, which is logged separately."""
        if self.availability.is_awaited:
            self.heartbeat.start()
        self.heartbeat.log()

    async def _begin(self, pool: Pool) -> Epochs:
        async with pool.connection() as connection:
            return await self._declare(connection)

    async def _declare(self, connection: Connection) -> Epochs:
        """Declares subscriptions and periodic work, and records the timeline. Raises ClusterMismatch.

        A timeline that began while this worker did not run is logged here.
        """
        # Fails here on a database that is not migrated, before lanes are claimed.
        await connection.execute(LANES["heads"], {"subscription": "", "lanes": "{}"})
        epochs = await load_epochs(connection)
        if (timeline := await note_timeline(connection)) and not self._epochs:
            logger.warning(TURNED_BACK, f"it is on timeline {timeline} now")
        for subscriber in self.subscribers.values():
            await declare(connection, subscriber)
        await declare_periodic(connection)
        return epochs

    async def _relay(self, pool: Pool) -> None:
        """Fans out the change log; polls often while there are changes, seldom while there are none."""
        poll = MIN_POLL_SECONDS
        async with pool.connection() as connection:
            while not self.stopping.is_set():
                self.heartbeat.note("the relay")
                self.log_grew.clear()
                moved, fanned_out = await advance(connection)
                for name, changes in fanned_out.items():
                    counters.FANNED_OUT.labels(counters.label(name)).inc(changes)
                    self._wake(name)
                poll = MIN_POLL_SECONDS if moved else min(poll * 1.5, MAX_POLL_SECONDS)
                pause = FEW_SECONDS if 0 < sum(fanned_out.values()) <= FEW else YIELD_SECONDS if moved else poll
                await first_of(self.log_grew, self.stopping, seconds=pause)
                if self.log_grew.is_set():
                    poll = MIN_POLL_SECONDS

    async def _watch_due(self, pool: Pool) -> None:
        """Wakes the couriers of subscriptions with due lanes: fanned out by other workers, retried or replayed.

        Each scan begins at the courier's floor, every FULL_SCAN_INTERVAL without one.
        """
        scanned = watched = 0.0
        while not self.stopping.is_set():
            self.heartbeat.note("the due watch")
            if time.monotonic() - watched > WATCH_SECONDS:
                watched = time.monotonic()
                await self._watch_database(pool)
            if time.monotonic() - scanned > FULL_SCAN_INTERVAL:
                scanned = time.monotonic()
                for courier in self._couriers.values():
                    courier.scan_floor.reset()
            known = {name: courier.scan_floor.moment for name, courier in self._couriers.items()}
            async with pool.connection() as connection:
                due = await subscriptions_due(connection, known, MAX_SCAN_SECONDS)
            for name in (name for name, seconds in due.items() if seconds <= 0):
                self._wake(name)
            # Subscriptions that this code does not deliver stay due, and must not shorten the pause.
            ours = {name for name in due if name in self.subscribers or name.partition(":")[0] in self.families}
            soonest = min((due[name] for name in ours), default=MAX_SCAN_SECONDS)
            await first_of(self.stopping, seconds=min(max(soonest, MIN_SCAN_SECONDS), MAX_SCAN_SECONDS))

    async def _watch_database(self, pool: Pool) -> None:
        """Checks the database's state. Where its clock stepped back, shortens the waits of lanes."""
        async with pool.connection() as connection:
            self._note(await ServerState.read(connection))
            if self._stepped_back is not None:
                leases = {name: subscriber.lease for name, subscriber in self.subscribers.items()}
                leases |= {name: family.lease for name, family in self.families.items()}
                await bring_near(connection, leases, self._stepped_back)
                self._stepped_back = None
                for courier in self._couriers.values():
                    courier.scan_floor.reset()

    async def _listen(self) -> None:
        """Listens for notifications of commits (changes/wakeup.py), and sends the heartbeat in between.

        The heartbeat detects a dead connection. Polling suffices when notifications are lost.
        """
        own = {"application_name": APPLICATION_NAME, "autocommit": True}
        async with await WatchedAsyncConnection.connect(**connection_parameters() | own) as connection:
            await connection.begin({})
            await self._verify_cluster(connection)
            await connection.execute(LISTEN)
            while not self.stopping.is_set():
                await self.heartbeat.beat(connection)
                await store_figures(connection)
                self.heartbeat.note("the heartbeat")
                hearing = asyncio.create_task(self._read_notifications(connection))
                stopped = asyncio.create_task(self.stopping.wait())
                await asyncio.wait({hearing, stopped}, return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
                hearing.cancel()
                await asyncio.wait({hearing})
                if not hearing.cancelled():
                    hearing.result()
            await self.heartbeat.leave(connection)

    async def _read_notifications(self, connection: Connection) -> None:
        async for _ in connection.notifies(timeout=BEAT_SECONDS):
            self.log_grew.set()
