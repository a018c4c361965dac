"""Handlers that only write to our own database: their writes and their ack are one transaction."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from django.db import connection

import lockstep
from conftest import database_url
from lockstep.delivery import lanes, subscriptions
from lockstep.delivery.errors import LeaseLost, Rejected
from lockstep.delivery.subscriptions import Change, Claim, Subscriber
from lockstep.delivery.tests.support import POST, Steps, insert_post, rename_post, subscriber, waiting
from tests.support import WAIT_TIMEOUT, BackgroundWorker, drained, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def handled(database: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A table that handlers write to."""
    database.execute("CREATE TABLE handled (title text)")
    yield database
    database.execute("DROP TABLE handled")


async def write_titles(connection: psycopg.AsyncConnection[Any], claims: Sequence[Claim]) -> None:
    for claim in claims:
        await connection.execute("INSERT INTO handled VALUES (%s)", [(claim.change.after or {})["title"]])


def within(handler: Any = write_titles, batch: int = 1) -> Subscriber:
    return Subscriber(name="test", kind="event", models=(POST,), within=handler, batch=batch)


def titles(database: psycopg.Connection) -> list[str]:
    return sorted(title for (title,) in database.execute("SELECT title FROM handled").fetchall())


def deliver(claim: Claim) -> None:
    async def run() -> None:
        async with await psycopg.AsyncConnection.connect(database_url(), autocommit=True) as connection:
            await lanes.deliver_within(connection, [claim], write_titles)

    asyncio.run(run())


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_each_change_is_handled_once(handled: psycopg.Connection, steps: Steps, worker: BackgroundWorker, batch: int):
    worker.subscribers = [within(batch=batch)]
    steps.declare(within(batch=batch))
    for n in range(50):
        insert_post(handled, f"{n:02}")
    worker.start()
    eventually(lambda: drained(handled))
    assert titles(handled) == [f"{n:02}" for n in range(50)]


def test_writes_of_a_failing_handler_are_rolled_back(
    handled: psycopg.Connection, steps: Steps, worker: BackgroundWorker
):
    async def write_and_fail(connection: psycopg.AsyncConnection[Any], claims: Sequence[Claim]) -> None:
        await write_titles(connection, claims)
        raise Rejected("no")

    worker.subscribers = [within(write_and_fail)]
    steps.declare(within())
    insert_post(handled, "a")
    worker.start()
    eventually(lambda: handled.execute("SELECT count(*) FROM lockstep_deadletter").fetchone() == (1,))
    assert titles(handled) == []


def test_a_failing_change_does_not_affect_its_batch(
    handled: psycopg.Connection, steps: Steps, worker: BackgroundWorker
):
    async def refuse_one(connection: psycopg.AsyncConnection[Any], claims: Sequence[Claim]) -> None:
        await write_titles(connection, claims)
        if any((claim.change.after or {})["title"] == "13" for claim in claims):
            raise Rejected("no")

    worker.subscribers = [within(refuse_one, batch=50)]
    steps.declare(within())
    for n in range(20):
        insert_post(handled, f"{n:02}")
    worker.start()
    eventually(lambda: drained(handled))
    assert titles(handled) == [f"{n:02}" for n in range(20) if n != 13]
    assert handled.execute("SELECT count(*) FROM lockstep_deadletter").fetchone() == (1,)


def assert_lost_claims_write_nothing(
    handled: psycopg.Connection, steps: Steps, subscriber: Subscriber, deliver: Callable[[Claim], object]
) -> None:
    """One claim is lost to a later one, and that one by its delivery."""
    steps.declare(subscriber)
    insert_post(handled, "a")
    steps.fan_out()
    [stale] = steps.claim(subscriber)
    handled.execute("UPDATE lockstep_lane SET next_at = now()")
    [claim] = steps.claim(subscriber)
    with pytest.raises(LeaseLost):
        deliver(stale)
    assert titles(handled) == []
    deliver(claim)
    with pytest.raises(LeaseLost):
        deliver(claim)
    assert (titles(handled), waiting(handled)) == (["a"], [])


def test_a_claim_that_was_lost_writes_nothing(handled: psycopg.Connection, steps: Steps):
    assert_lost_claims_write_nothing(handled, steps, within(), deliver)


def test_a_transactional_function_whose_claim_was_lost_writes_nothing(
    handled: psycopg.Connection, steps: Steps, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subscriptions, "_registered", {})

    @lockstep.subscriber(POST, name="test", transactional=True)
    def write(changes: list[Change]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO handled VALUES (%s)", [[(each.after or {})["title"]] for each in changes])

    def deliver(claim: Claim) -> None:
        assert declared.transactional
        asyncio.run(declared.transactional([claim]))  # type: ignore[arg-type]  # a coroutine function

    [declared] = subscriptions.registered()
    assert_lost_claims_write_nothing(handled, steps, declared, deliver)


def test_a_slow_handler_does_not_block_fan_out(handled: psycopg.Connection, steps: Steps, worker: BackgroundWorker):
    begun, may_end = threading.Event(), threading.Event()

    async def take_time(connection: psycopg.AsyncConnection[Any], claims: Sequence[Claim]) -> None:
        begun.set()
        await asyncio.to_thread(may_end.wait, 30)
        await write_titles(connection, claims)

    worker.subscribers = [within(take_time)]
    steps.declare(within())
    post = insert_post(handled, "first")
    worker.start()
    assert begun.wait(WAIT_TIMEOUT)
    rename_post(handled, post, "second")
    eventually(lambda: [title for _, title in waiting(handled)] == ["first", "second"])
    assert titles(handled) == []
    may_end.set()
    eventually(lambda: drained(handled))
    assert titles(handled) == ["first", "second"]


def test_a_subscriber_has_one_way_to_deliver():
    with pytest.raises(ValueError, match="one of connect, within and transactional"):
        Subscriber(name="test", kind="event", models=(POST,))


def test_only_transactional_handlers_receive_batches():
    with pytest.raises(ValueError, match="has a batch"):
        subscriber(batch=10)


def test_transactional_deliveries_store_no_attempts():
    with pytest.raises(ValueError, match="keeps no attempts"):
        Subscriber(name="test", kind="event", models=(POST,), within=write_titles, recorded=True)
