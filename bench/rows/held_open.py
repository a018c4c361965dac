"""Delivery while another transaction is held open, against delivery without one."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.tables import Posts, WrongRows, empty
from bench.waits import WARM_UP, Times, announced_writes, measure_waits
from lockstep.delivery.subscriptions import Claim, Subscriber
from lockstep.delivery.worker import Worker

BEFORE, MEASURED, LOT = 400_000, 50_000, 50_000
WRITES, RATE = 200, 20
PATIENCE = 120.0


class HeldOpen(Row):
    note = (
        f"changes/s within our database, {MEASURED:,} of them, after {BEFORE:,} others: as many as come in 30 minutes "
        "at some 200 a second. Held: all the while one transaction that has written is open in our database, and one "
        "in another database of the cluster, so that PostgreSQL keeps every version of every row. "
        f"Then {WRITES} commits at {RATE} a second."
    )
    comparisons = (
        Comparison("changes/s, held : free", "held", "free", Goal("at least", 0.95)),
        Comparison("commit to handler, p50 ms, held : free", "held, p50", "free, p50", Goal("at most", 1.5)),
        Comparison("commit to handler, p99 ms, held : free", "held, p99", "free, p99"),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())

    def variants(self) -> dict[str, Variant]:
        return {"free": self._free, "held": self._held}

    def _free(self) -> Figures:
        return asyncio.run(self._figures("free"))

    def _held(self) -> Figures:
        with self._open("postgres"), self._open(None):
            return asyncio.run(self._figures("held"))

    @contextmanager
    def _open(self, database: str | None) -> Iterator[None]:
        other = {"dbname": database} if database else {}
        with psycopg.connect(make_conninfo(self.place.url, **other)) as connection:
            connection.execute("CREATE TEMPORARY TABLE held (a int)")
            yield
            connection.rollback()

    async def _figures(self, name: str) -> Figures:
        empty(self.database)
        self.database.execute(
            "INSERT INTO lockstep_subscription (name, kind, follows) VALUES ('bench', 'event', '{posts.post.*}')"
        )
        self.database.execute("SELECT setval('posts_post_number', 1000000)")  # past those that are numbered by hand
        self.handled = 0
        self.arrived: Times = {}
        worker = Worker([self._subscriber()])
        task = asyncio.create_task(worker.run())
        for first in range(1, self.place.scaled(BEFORE), self.place.scaled(LOT)):
            await self._deliver(first, self.place.scaled(LOT))
        seconds = await self._deliver(self.place.scaled(BEFORE) + 1, self.place.scaled(MEASURED))
        self.arrived.clear()
        write, amount = announced_writes(self.database), self.place.scaled(WRITES)
        waits = await asyncio.to_thread(measure_waits, name, amount, RATE, write, lambda: self.arrived)
        worker.stopping.set()
        await task
        return {name: self.place.scaled(MEASURED) / seconds, **waits}

    def _subscriber(self) -> Subscriber:
        async def handler(connection: AsyncConnection[Any], claims: Sequence[Claim]) -> None:
            self.handled += len(claims)
            if len(claims) <= WARM_UP:  # the others come by the hundred
                self.arrived |= {(claim.change.after or {})["title"]: time.time() for claim in claims}

        return Subscriber(
            name="bench", kind="event", models=("posts.post",), within=handler, batch=500, concurrency=2, deadline=60
        )

    async def _deliver(self, first: int, amount: int) -> float:
        """Writes so many posts; returns the seconds until all of them were delivered."""
        end = time.perf_counter() + PATIENCE
        await asyncio.to_thread(Posts(first, first + amount - 1).insert, self.database)
        began = time.perf_counter()
        while self.handled < first + amount - 1:
            if time.perf_counter() > end:
                raise WrongRows(f"{self.handled} delivered within {PATIENCE:g} s")
            await asyncio.sleep(0.02)
        return time.perf_counter() - began
