"""Fan-out: from the change log to the lanes of one subscription, against writing the same rows and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.tables import Posts, empty, require
from lockstep.delivery.database import FOR_RELAY, open_pool
from lockstep.delivery.database import Connection as AsyncConnection
from lockstep.delivery.relay import advance, declare
from lockstep.delivery.subscriptions import Claim, Handler, Pool, Subscriber

CHANGES = 100_000

# Tables of the same shape and indexes, so that the limit does not pay for the foreign key or for conflicts.
LIKE = """
    DROP TABLE IF EXISTS bench_lane, bench_delivery;
    CREATE TABLE bench_lane (LIKE lockstep_lane INCLUDING ALL);
    CREATE TABLE bench_delivery (LIKE lockstep_delivery INCLUDING ALL)"""
INSERT_LANES = """
    INSERT INTO bench_lane (id, subscription_id, model, object_id, next_at, token, attempts)
    SELECT seq, 'bench', model, object_id, now(), 0, 0 FROM lockstep_change"""
INSERT_DELIVERIES = "INSERT INTO bench_delivery (lane_id, seq, at) SELECT seq, seq, at FROM lockstep_change"


class FanOut(Row):
    note = (
        "changes/s, every chunk committed durably. Each change is of another object and makes a lane: the worst case. "
        "The limit: INSERT … SELECT of as many lanes and deliveries, one statement each, into tables alike."
    )
    comparisons = (Comparison("fan-out, changes/s", "fan-out", "INSERT … SELECT", Goal("at least", 40_000, of="ours")),)

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())
        self.changes = self.place.scaled(CHANGES)

    def variants(self) -> dict[str, Variant]:
        return {"fan-out": self._fan_out, "INSERT … SELECT": self._insert_select}

    def _fan_out(self) -> Figures:
        empty(self.database)
        rate = asyncio.run(self._declare_and_fan_out())
        require(self.database, lockstep_lane=self.changes, lockstep_delivery=self.changes)
        return {"fan-out": rate}

    async def _declare_and_fan_out(self) -> float:
        async with open_pool(1, FOR_RELAY) as pool, pool.connection() as connection:
            await declare(connection, BENCH)
            self._make_changes()
            return await self._rate(connection)

    async def _rate(self, connection: AsyncConnection) -> float:
        """Until nothing is behind, as a worker does it but for the pause between two chunks."""
        began = time.perf_counter()
        while (await advance(connection)).moved:
            pass
        return self.changes / (time.perf_counter() - began)

    def _insert_select(self) -> Figures:
        empty(self.database)
        self._make_changes()
        self.database.execute(LIKE)
        began = time.perf_counter()
        self.database.execute(INSERT_LANES)
        self.database.execute(INSERT_DELIVERIES)
        seconds = time.perf_counter() - began
        require(self.database, bench_lane=self.changes, bench_delivery=self.changes)
        return {"INSERT … SELECT": self.changes / seconds}

    def _make_changes(self) -> None:
        """Fresh ones each time: the first to read a row pays for its hint bits, and that is the relay in real life."""
        Posts(1, self.changes).insert(self.database)
        self.database.execute("CHECKPOINT")


@asynccontextmanager
async def _connect(pool: Pool) -> AsyncIterator[Handler]:
    """Never called: the bench fans out and delivers nothing."""
    yield _deliver


async def _deliver(claim: Claim) -> None:
    raise NotImplementedError


BENCH = Subscriber(name="bench", kind="event", models=("posts.post",), connect=_connect)
