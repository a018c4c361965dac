"""The worker: one process, one event loop; as many as you like, on as many machines.

    relay       change log → lanes, for all subscriptions
    couriers    lanes → remotes, one for each subscription
    periodic    upkeep and checks

Workers share nothing but the database: locks and leases there keep them out of each other's way.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from lockstep.changes.connecting import connection_parameters
from lockstep.changes.wakeup import CHANNEL
from lockstep.delivery.courier import Courier
from lockstep.delivery.database import APPLICATION_NAME, SQL, Connection, open_pool
from lockstep.delivery.periodic import run_periodic
from lockstep.delivery.relay import declare, fan_out, subscriptions_behind
from lockstep.delivery.subscriptions import Pool, Subscriber
from lockstep.delivery.waiting import first_of

T = TypeVar("T")

logger = logging.getLogger(__name__)

SHORTEST_POLL, LONGEST_POLL = 0.02, 0.5  # seconds between looks at the change log
RECOVERY_SECONDS = 1.0  # between attempts while the database does not answer


class ForeignDatabase(Exception):
    """This database was restored from another cluster, or copied to one.

    Transaction ids mean nothing here, so the places of the subscriptions are lost. The worker does not start, rather
    than leave out changes in silence. docs/operations.md says how to begin a new epoch.
    """


class Worker:
    """Delivers the changes that these subscribers follow, until `stopping` is set."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self.subscribers = {subscriber.name: subscriber for subscriber in subscribers}
        self.stopping = asyncio.Event()
        self.grown = asyncio.Event()  # somebody told that the log has grown
        self.couriers: dict[str, Courier] = {}

    async def run(self) -> None:
        """Runs until stopped. A database that goes away is waited for; raises ForeignDatabase."""
        async with open_pool(size=4 + sum(s.connections for s in self.subscribers.values())) as pool:
            epoch = await self._persist(lambda: self._declare(pool))
            self.couriers = {s.name: Courier(s, pool, epoch) for s in self.subscribers.values()}
            logger.info("worker ready: %s", ", ".join(self.subscribers) or "no subscriptions")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._persist(lambda: self._relay(pool)))
                tasks.create_task(self._persist(self._listen))
                tasks.create_task(self._persist(lambda: run_periodic(pool, self.stopping)))
                for courier in self.couriers.values():
                    tasks.create_task(self._persist(lambda c=courier: c.run(self.stopping)))  # type: ignore[misc]

    async def _persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Starts the work again whenever the database went away under it, or a mistake of ours ended it."""
        while True:
            try:
                return await work()
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
                if self.stopping.is_set():
                    raise
                logger.warning("the database does not answer, trying again: %s", str(error).splitlines()[0])
            except ForeignDatabase:
                raise
            except Exception:
                logger.exception("a part of the worker failed, starting it again")
            await asyncio.sleep(RECOVERY_SECONDS)

    async def _declare(self, pool: Pool) -> UUID:
        """Writes down which subscriptions there are; returns the epoch."""
        async with pool.connection() as connection:
            cursor = await connection.execute(SQL["upkeep"]["epoch"])
            row = await cursor.fetchone()
            if row is None or not row[1]:
                raise ForeignDatabase
            for subscriber in self.subscribers.values():
                await declare(connection, subscriber)
        epoch: UUID = row[0]
        return epoch

    async def _relay(self, pool: Pool) -> None:
        """Fans out whatever is behind; looks often while there is something, seldom while there is not."""
        poll = SHORTEST_POLL
        while not self.stopping.is_set():
            self.grown.clear()
            async with pool.connection() as connection:
                behind = [name for name in await subscriptions_behind(connection) if name in self.subscribers]
                moved = 0
                for name in behind:
                    moved += await fan_out(connection, name)
                    self.couriers[name].wakened.set()
            poll = SHORTEST_POLL if behind else min(poll * 1.5, LONGEST_POLL)
            await first_of(self.grown, self.stopping, seconds=0 if moved else poll)
            if self.grown.is_set():
                poll = SHORTEST_POLL

    async def _listen(self) -> None:
        """Hears of commits sooner than by looking (changes/wakeup.py). When it cannot listen, looking is enough."""
        options = connection_parameters() | {"application_name": APPLICATION_NAME, "autocommit": True}
        async with await psycopg.AsyncConnection.connect(**options) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            hearing = asyncio.create_task(self._hear(connection))
            stopped = asyncio.create_task(self.stopping.wait())
            await asyncio.wait({hearing, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in (hearing, stopped):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hearing

    async def _hear(self, connection: Connection) -> None:
        async for _ in connection.notifies():
            self.grown.set()
