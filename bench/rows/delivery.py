"""Delivery: from the change log to handlers, in our own database and over signed HTTP, beside a task queue."""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any, cast

from psycopg import AsyncConnection

from bench.peers import celery_worker, prepare_procrastinate, procrastinate_worker, start, start_redis
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.tables import Posts, WrongRows, count, empty
from lockstep.delivery.destinations.webhook import Destination, body_of, webhook_sender
from lockstep.delivery.errors import Receipt
from lockstep.delivery.subscriptions import Claim, Handler, Pool, Subscriber
from lockstep.delivery.worker import Worker

WITHIN, OVER_HTTP, JOBS = 50_000, 10_000, 5_000
BATCH, REQUESTS = 500, 64
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATIENCE = 120.0
LOOK_SECONDS = 0.01
LEFT_JOBS = "procrastinate_jobs WHERE status IN ('todo', 'doing')"

SINK = "DROP TABLE IF EXISTS bench_sink; CREATE TABLE bench_sink (object_id uuid NOT NULL, title text NOT NULL)"
FILL = "INSERT INTO bench_sink SELECT * FROM unnest(%s::uuid[], %s::text[])"
JOB_TABLE = """
    DROP TABLE IF EXISTS bench_job;
    CREATE TABLE bench_job (
        id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, object_id uuid NOT NULL, title text NOT NULL);
    INSERT INTO bench_job (object_id, title) SELECT id, title FROM posts_post"""
TAKE_JOBS = """
    WITH taken AS (
        DELETE FROM bench_job WHERE id IN (SELECT id FROM bench_job ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
        RETURNING object_id, title)
    INSERT INTO bench_sink SELECT * FROM taken"""


class Delivery(Row):
    note = (
        "changes/s of one worker, each change of another object, from the first tenth to the last ack. Within: the "
        f"handler writes a row in the transaction of its ack, {BATCH} changes at a time. SKIP LOCKED: the same rows, "
        f"moved by one statement a batch of {BATCH}, with neither order nor retries nor leases: the ceiling. Signed "
        f"HTTP: Standard Webhooks to a receiver on the same two cores, {REQUESTS} requests at once, each attempt on "
        "record. Celery: tasks that do nothing, over Redis, two prefork processes. Procrastinate: "
        "the same in PostgreSQL, 20 at once."
    )
    comparisons = (
        Comparison("within our database/s : SKIP LOCKED", "within", "SKIP LOCKED", Goal("at least", 20_000, of="ours")),
        Comparison("signed HTTP/s : Celery, no-op", "signed HTTP", "Celery", Goal("at least", 3)),
        Comparison("signed HTTP/s : Procrastinate, no-op", "signed HTTP", "Procrastinate"),
    )

    def prepare(self) -> None:
        self.redis = start_redis(self.stack)
        prepare_procrastinate()
        self.database = self.stack.enter_context(self.place.connection())
        self.start_receiver()

    def start_receiver(self) -> None:
        """Starts what signed requests are sent to."""
        receiver = start(self.stack, [sys.executable, "-m", "bench.receiver"], stdout=subprocess.PIPE)
        assert receiver.stdout
        self.url = f"http://127.0.0.1:{int(receiver.stdout.readline())}/"

    def variants(self) -> dict[str, Variant]:
        return {
            "within": self._within,
            "SKIP LOCKED": self._skip_locked,
            "signed HTTP": self._signed_http,
            "Celery": self._celery,
            "Procrastinate": self._procrastinate,
        }

    def _within(self) -> Figures:
        async def handler(connection: AsyncConnection[Any], claims: Sequence[Claim]) -> None:
            changes = [claim.change for claim in claims]
            titles = [(change.after or {})["title"] for change in changes]
            await connection.execute(FILL, [[change.object_id for change in changes], titles])
            self.handled += len(claims)

        who = Subscriber(
            name="bench", kind="event", models=("posts.post",), within=handler, batch=BATCH, concurrency=2, deadline=60
        )
        rate = self._drain(who, self.place.scaled(WITHIN))
        if (rows := count(self.database, "bench_sink")) != self.place.scaled(WITHIN):
            raise WrongRows(f"{rows} rows")
        return {"within": rate}

    def _signed_http(self) -> Figures:
        destination = Destination(self.url, (SECRET,))

        @asynccontextmanager
        async def connect(pool: Pool) -> AsyncIterator[Handler]:
            async with webhook_sender(concurrency=REQUESTS, deadline=30, opened=[ip_network("127.0.0.0/8")]) as sender:

                async def handler(claim: Claim) -> Receipt:
                    receipt = await sender.send(destination, claim.message_id, body_of(claim), claim.clock)
                    self.handled += 1
                    return receipt

                yield handler

        who = Subscriber(
            name="bench", kind="event", models=("posts.post",), connect=connect, concurrency=REQUESTS, recorded=True
        )
        rate = self._drain(who, self.place.scaled(OVER_HTTP))
        delivered = "lockstep_attempt WHERE failure IS NULL"
        if (rows := count(self.database, delivered)) != self.place.scaled(OVER_HTTP):
            raise WrongRows(f"{rows} attempts")
        return {"signed HTTP": rate}

    def _drain(self, who: Subscriber, changes: int) -> float:
        empty(self.database)
        self.database.execute("TRUNCATE lockstep_attempt")
        self.database.execute(SINK)
        self.database.execute(
            "INSERT INTO lockstep_subscription (name, kind, follows) VALUES ('bench', 'event', '{posts.post.*}')"
        )
        Posts(1, changes).insert(self.database)
        self.database.execute("CHECKPOINT")
        return asyncio.run(self._rate(who, changes))

    async def _rate(self, who: Subscriber, changes: int) -> float:
        """Changes a second between the first tenth and the last ack: starting a worker does not count."""
        self.handled = 0
        worker = Worker([who])
        gc.freeze()  # as manage.py lockstep worker does
        end = time.perf_counter() + PATIENCE
        task = asyncio.create_task(worker.run())
        while self.handled < changes // 10:
            _keep_patience(end)
            await asyncio.sleep(LOOK_SECONDS)
        began, first = time.perf_counter(), self.handled
        while self.handled < changes or not self._is_drained():
            _keep_patience(end)
            await asyncio.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - began
        worker.stopping.set()
        await task
        return (changes - first) / seconds

    def _is_drained(self) -> bool:
        behind = """
            SELECT NOT EXISTS (SELECT FROM lockstep_lane) AND NOT EXISTS (
                SELECT FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
                CROSS JOIN LATERAL lockstep_unplaced(place))"""
        ((drained,),) = self.database.execute(behind).fetchall()
        return bool(drained)

    def _skip_locked(self) -> Figures:
        empty(self.database)
        self.database.execute(SINK)
        changes = self.place.scaled(WITHIN)
        Posts(1, changes).insert(self.database)
        self.database.execute(JOB_TABLE)
        self.database.execute("CHECKPOINT")
        began = time.perf_counter()
        while self.database.execute(TAKE_JOBS, [BATCH]).rowcount:
            pass
        return {"SKIP LOCKED": changes / (time.perf_counter() - began)}

    def _celery(self) -> Figures:
        from redis import Redis

        from bench.celery_app import app, nothing

        queue, jobs = Redis.from_url(self.redis), self.place.scaled(JOBS)
        with app.connection_for_write() as broker, app.amqp.Producer(broker) as producer:
            for number in range(jobs):
                nothing.apply_async((number,), producer=producer)
        with celery_worker():
            return {"Celery": _rate(jobs, lambda: int(queue.llen("celery")) + int(queue.hlen("unacked")))}

    def _procrastinate(self) -> Figures:
        from bench.procrastinate_app import app, nothing

        self.database.execute("TRUNCATE procrastinate_jobs CASCADE")
        jobs = self.place.scaled(JOBS)
        with app.open():
            nothing.batch_defer(*cast("Any", [{"number": number} for number in range(jobs)]))
        with procrastinate_worker():
            return {"Procrastinate": _rate(jobs, lambda: count(self.database, LEFT_JOBS))}


def _rate(jobs: int, left: Callable[[], int]) -> float:
    """Jobs a second between the first tenth and the last of them: starting the processes does not count."""
    end = time.perf_counter() + PATIENCE
    while (first := left()) > 0.9 * jobs:
        _keep_patience(end)
        time.sleep(LOOK_SECONDS)
    began = time.perf_counter()
    while left():
        _keep_patience(end)
        time.sleep(LOOK_SECONDS)
    return first / (time.perf_counter() - began)


def _keep_patience(end: float) -> None:
    if time.perf_counter() > end:
        raise WrongRows(f"not done within {PATIENCE:g} s")
