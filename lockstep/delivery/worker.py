"""The worker: one process, one event loop; as many as you like, on as many machines.

    relay       change log → lanes, for all subscriptions
    look-out    which subscriptions have something due, for the couriers
    couriers    lanes → remotes, one for each subscription
    periodic    upkeep and checks

Workers share nothing but the database: locks and leases there keep them out of each other's way.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import psycopg

from lockstep.changes.connecting import WatchedAsyncConnection, connection_parameters
from lockstep.changes.database_errors import UnsuitableDatabase, is_transient, unsuitable
from lockstep.changes.wakeup import CHANNEL
from lockstep.delivery import metrics
from lockstep.delivery.availability import RECOVERY_SECONDS, Availability, Standby
from lockstep.delivery.courier import Courier
from lockstep.delivery.database import APPLICATION_NAME, Connection, Pools, open_pools
from lockstep.delivery.epochs import MANUAL, Epochs, ForeignDatabase, Life, Watch, load_epochs, note_timeline
from lockstep.delivery.heartbeat import BEAT_SECONDS, Heartbeat
from lockstep.delivery.periodic import declare_periodic, run_periodic
from lockstep.delivery.relay import advance, bring_near, declare, subscriptions_due
from lockstep.delivery.subscriptions import Family, Pool, Subscriber
from lockstep.delivery.waiting import first_of

T = TypeVar("T")

logger = logging.getLogger(__name__)

SHORTEST_POLL, LONGEST_POLL = 0.02, 0.5  # seconds between looks at the change log
GIVE_WAY_SECONDS = 0.001  # after a fan-out: couriers begin before the relay looks again
SHORTEST_LOOK, LONGEST_LOOK = 0.05, 0.5  # seconds between looks at what is due
THOROUGH_LOOK = 10.0  # seconds between looks at all that is due, however old
FAMILY_CONNECTIONS = 8  # database connections for the members of all families together
WATCH_SECONDS = 1.0  # between looks at where the database is, and at its clock

TURNED_BACK = (
    "the database is not the one that it was: %s. A replica was promoted, or a backup was put in its place. "
    "Done: subscriptions and periodic work are declared again. Places, lanes and message ids are part of the database "
    "and fit, so deliveries go on. Left to you: changes that it lost may have been delivered; "
    "`manage.py delivery audit` compares. " + MANUAL
)
STEPPED_BACK = (
    "the database's clock stepped back by %.0f s. Done: what was put off until the old time is due again. Left to you: "
    "see to the clock. " + MANUAL
)


class Worker:
    """Delivers the changes that these subscribers and families follow, until `stopping` is set."""

    def __init__(self, subscribers: Sequence[Subscriber], families: Sequence[Family] = ()) -> None:
        self.subscribers = {subscriber.name: subscriber for subscriber in subscribers}
        self.families = {family.name: family for family in families}
        self.stopping = asyncio.Event()
        self.grown = asyncio.Event()  # somebody told that the log has grown
        self.availability = Availability(self.stopping)
        self.heartbeat = Heartbeat("the relay", "the look-out", "the heartbeat")
        self._epochs: Epochs | None = None  # until the worker is ready
        self._watch = Watch()
        self._admitting = asyncio.Lock()
        self._foreign = False
        # By how many seconds the clock stepped back, while lanes wait for the old time; 0: perhaps, unseen.
        self._stepped_back: float | None = 0.0
        self._wake: Callable[[str], None] = lambda name: None
        self._couriers: dict[str, Courier] = {}

    async def run(self) -> None:
        """Runs until stopped. A database that goes away is waited for.

        Raises ForeignDatabase, and UnsuitableDatabase where waiting does not help.
        """
        await self.availability.wait()
        async with open_pools(self._connections, self._admit) as pools:
            self._epochs = await self._persist(lambda: self._begin(pools.handlers))
            if self._epochs:
                await self._deliver(pools, self._epochs)
        if self._foreign:
            raise ForeignDatabase

    async def _deliver(self, pools: Pools, epochs: Epochs) -> None:
        logger.info("worker ready: %s", ", ".join(self._names) or "no subscriptions")
        self.heartbeat.start()
        async with asyncio.TaskGroup() as tasks:
            self._employ(tasks, pools, epochs)
            tasks.create_task(self._persist(lambda: self._relay(pools.relay)))
            tasks.create_task(self._persist(lambda: self._look_out(pools.lanes)))
            tasks.create_task(self._persist(self._listen))
            tasks.create_task(self._report_hangs())
            tasks.create_task(self._persist(lambda: run_periodic(pools.handlers, self.stopping)))

    async def _admit(self, connection: Connection) -> None:
        """Sees every new connection before anybody uses it: a database is not exchanged under an old one.

        A standby is waited for. Where the database turned back, what the worker declared may be gone, and is declared
        again. Where another cluster answers, a dump was restored: a person has to decide, and the worker stops.
        """
        async with self._admitting:
            life = await Life.read(connection)
            if life.is_standby:
                raise Standby(str(Standby.__doc__))
            if self._watch.is_foreign(life):
                raise self._stopped_as_foreign()
            if self._epochs and (how := self._watch.turned_back(life)):
                logger.warning(TURNED_BACK, how)
                try:
                    self._epochs.first = (await self._declare(connection)).first
                except ForeignDatabase as error:
                    raise self._stopped_as_foreign() from error
            self._note(life)

    def _stopped_as_foreign(self) -> psycopg.OperationalError:
        self._foreign = True
        self.stopping.set()
        return psycopg.OperationalError("another database cluster answers at this address; the worker stops")

    def _note(self, life: Life) -> None:
        """Compares the clock with what it was, and keeps what was seen."""
        if step := self._watch.stepped_back(life):
            logger.warning(STEPPED_BACK, step)
            self._stepped_back = (self._stepped_back or 0.0) + step
        self._watch.note(life)

    @property
    def _connections(self) -> int:
        """How many the handlers may need at once, with some for the periodic work."""
        own = sum(subscriber.connections for subscriber in self.subscribers.values())
        return 4 + own + (FAMILY_CONNECTIONS if self.families else 0)

    @property
    def _names(self) -> list[str]:
        return [*self.subscribers, *(f"{family}:*" for family in self.families)]

    def _subscriber(self, name: str) -> Subscriber | None:
        """Who has this subscription; None when it is not one of ours (code that was replaced had it)."""
        family = self.families.get(name.partition(":")[0])
        return self.subscribers.get(name) or (family.member(name) if family else None)

    def _delivers(self, name: str) -> bool:
        return name in self.subscribers or name.partition(":")[0] in self.families

    def _employ(self, tasks: asyncio.TaskGroup, pools: Pools, epochs: Epochs) -> None:
        """Couriers for all subscribers; one for a family's member as soon as something is due for it."""

        def employ(subscriber: Subscriber, *, leaves: bool) -> None:
            courier = self._couriers[subscriber.name] = Courier(subscriber, pools, epochs, leaves=leaves)
            task = tasks.create_task(self._persist(lambda: courier.run(self.stopping)))
            task.add_done_callback(lambda _: self._couriers.pop(subscriber.name))

        def wake(name: str) -> None:
            if courier := self._couriers.get(name):
                courier.wakened.set()
            elif not self.stopping.is_set() and (subscriber := self._subscriber(name)):
                employ(subscriber, leaves=True)

        for subscriber in self.subscribers.values():
            employ(subscriber, leaves=False)
        self._wake = wake

    async def _persist(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Starts the work again whenever the database went away under it, or a mistake of ours ended it.

        None when the worker was stopped meanwhile. Raises ForeignDatabase and UnsuitableDatabase.
        """
        while True:
            try:
                return await work()
            except (ForeignDatabase, UnsuitableDatabase):
                raise
            except Exception as error:
                if self.stopping.is_set():
                    return None
                if is_transient(error) or unsuitable(error):
                    await self.availability.wait(error)
                else:
                    logger.exception("a part of the worker failed, starting it again")
                    await first_of(self.stopping, seconds=RECOVERY_SECONDS)

    async def _report_hangs(self) -> None:
        """Says which part hangs, whatever hangs."""
        while not self.stopping.is_set():
            self._report_hang()
            await first_of(self.stopping, seconds=1.0)

    def _report_hang(self) -> None:
        """Not while the database is waited for, which is said as such."""
        if self.availability.is_awaited:
            self.heartbeat.start()
        self.heartbeat.log()

    async def _begin(self, pool: Pool) -> Epochs:
        async with pool.connection() as connection:
            return await self._declare(connection)

    async def _declare(self, connection: Connection) -> Epochs:
        """Writes down which subscriptions and periodic work there are, and on which timeline. Raises ForeignDatabase.

        A timeline that began while this worker did not run is told here.
        """
        epochs = await load_epochs(connection)
        if (timeline := await note_timeline(connection)) and not self._epochs:
            logger.warning(TURNED_BACK, f"it is on timeline {timeline} now")
        for subscriber in self.subscribers.values():
            await declare(connection, subscriber)
        await declare_periodic(connection)
        return epochs

    async def _relay(self, pool: Pool) -> None:
        """Fans out whatever is behind; looks often while there is something, seldom while there is not."""
        poll = SHORTEST_POLL
        async with pool.connection() as connection:
            while not self.stopping.is_set():
                self.heartbeat.note("the relay")
                self.grown.clear()
                moved, given = await advance(connection)
                for name, changes in given.items():
                    metrics.FANNED_OUT.labels(metrics.label(name)).inc(changes)
                    self._wake(name)
                poll = SHORTEST_POLL if moved else min(poll * 1.5, LONGEST_POLL)
                await first_of(self.grown, self.stopping, seconds=GIVE_WAY_SECONDS if moved else poll)
                if self.grown.is_set():
                    poll = SHORTEST_POLL

    async def _look_out(self, pool: Pool) -> None:
        """Wakes the couriers of what is due: what others fanned out, what failed and tries again, what was replayed.

        It begins where they last found something, and once in a while at the beginning.
        """
        looked_well = watched = 0.0
        while not self.stopping.is_set():
            self.heartbeat.note("the look-out")
            if time.monotonic() - watched > WATCH_SECONDS:
                watched = time.monotonic()
                await self._look_at_database(pool)
            if time.monotonic() - looked_well > THOROUGH_LOOK:
                looked_well = time.monotonic()
                for courier in self._couriers.values():
                    courier.horizon.forget()
            known = {name: courier.horizon.moment for name, courier in self._couriers.items()}
            async with pool.connection() as connection:
                due = await subscriptions_due(connection, known, LONGEST_LOOK)
            for name in (name for name, seconds in due.items() if seconds <= 0):
                self._wake(name)
            # What no worker of this code delivers is due for ever, and no reason to look soon.
            soonest = min((seconds for name, seconds in due.items() if self._delivers(name)), default=LONGEST_LOOK)
            await first_of(self.stopping, seconds=min(max(soonest, SHORTEST_LOOK), LONGEST_LOOK))

    async def _look_at_database(self, pool: Pool) -> None:
        """Keeps where the database is. Where its clock stepped back, lanes need not wait for the old time."""
        async with pool.connection() as connection:
            self._note(await Life.read(connection))
            if self._stepped_back is not None:
                leases = {name: subscriber.lease for name, subscriber in self.subscribers.items()}
                leases |= {name: family.lease for name, family in self.families.items()}
                await bring_near(connection, leases, self._stepped_back)
                self._stepped_back = None
                for courier in self._couriers.values():
                    courier.horizon.forget()

    async def _listen(self) -> None:
        """Hears of commits sooner than by looking (changes/wakeup.py), and says in between that this worker lives.

        That is also what notices that nothing is heard any more. When it cannot listen, looking is enough.
        """
        own = {"application_name": APPLICATION_NAME, "autocommit": True}
        async with await WatchedAsyncConnection.connect(**connection_parameters() | own) as connection:
            await connection.begin({})
            await self._admit(connection)
            await connection.execute(f"LISTEN {CHANNEL}")
            while not self.stopping.is_set():
                await self.heartbeat.beat(connection)
                self.heartbeat.note("the heartbeat")
                hearing = asyncio.create_task(self._hear(connection))
                stopped = asyncio.create_task(self.stopping.wait())
                await asyncio.wait({hearing, stopped}, return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
                hearing.cancel()
                await asyncio.wait({hearing})
                if not hearing.cancelled():
                    hearing.result()
            await self.heartbeat.leave(connection)

    async def _hear(self, connection: Connection) -> None:
        async for _ in connection.notifies(timeout=BEAT_SECONDS):
            self.grown.set()
