"""Back-pressure: a subscription that is full takes no more, in sight of everybody; writers do not notice."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from conftest import database_url
from lockstep.delivery import housekeeping, operations, relay
from lockstep.delivery.database import open_pool
from lockstep.delivery.operations import OPERATIONS
from lockstep.delivery.relay import RELAY
from lockstep.delivery.subscriptions import Subscriber
from lockstep.delivery.tests.support import Steps, insert_post, subscriber, waiting
from tests.support import any_lock_waiter, eventually


def resume_drained() -> None:
    async def run() -> None:
        async with open_pool(2) as pool:
            await housekeeping.resume_drained(pool)

    asyncio.run(run())


def state(name: str = "test") -> tuple[str, int, int]:
    """(state, behind, waiting)"""
    [row] = [row for row in operations.status() if row.name == name]
    return row.state, row.behind, row.waiting


@pytest.fixture
def full(steps: Steps, database: psycopg.Connection) -> Subscriber:
    """A subscription with room for 10 that holds 10, and 5 more behind."""
    who = subscriber(cap=10)
    steps.declare(who)
    for n in range(15):
        insert_post(database, f"{n:02}")
        if n == 9:
            steps.fan_out()
    return who


def test_a_full_subscription_takes_no_more_and_reports_it(full: Subscriber, steps: Steps, database: psycopg.Connection):
    assert state() == ("full", 5, 10)
    assert (steps.behind(), steps.fan_out()) == ([], 0)
    [status] = operations.status()
    assert status.reason == "10 changes wait; fan-out has stopped"


def test_a_full_subscription_continues_after_deliveries(full: Subscriber, steps: Steps, database: psycopg.Connection):
    delivered = steps.claim(full, limit=4)
    steps.settle(*delivered)
    resume_drained()
    assert state() == ("full", 5, 6)
    delivered += steps.claim(full, limit=1)
    steps.settle(delivered[-1])
    resume_drained()
    assert state() == ("active", 5, 5)
    steps.fan_out()
    everything = {f"{n:02}" for n in range(15)}
    assert {title for _, title in waiting(database)} == everything - {
        claim.change.after["title"] for claim in delivered
    }


def test_another_subscription_is_not_held_up(full: Subscriber, steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber("other"))
    insert_post(database, "later")
    steps.fan_out("other")
    assert state("other") == ("active", 0, 1)


def overfill(steps: Steps, database: psycopg.Connection) -> None:
    """A subscription with more than its cap, whose count is due."""
    steps.declare(subscriber())
    for n in range(15):
        insert_post(database, f"{n}")
    steps.fan_out()
    database.execute("UPDATE lockstep_subscription SET cap = 10")


def count(steps: Steps, after_counting: Callable[[], object] = bool) -> None:
    class Counting:
        def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
            self.transaction = connection.transaction
            self.connection = connection

        async def execute(self, *statement: Any) -> psycopg.AsyncCursor[Any]:
            cursor = await self.connection.execute(*statement)
            if statement[0] == RELAY["count_waiting"]:
                after_counting()
            return cursor

    steps.run(lambda c: relay._count_waiting(Counting(c), "test"))  # type: ignore[arg-type]


def test_a_pause_during_the_count_of_waiting_changes_stands(steps: Steps, database: psycopg.Connection):
    """Counting takes a second where much waits."""
    overfill(steps, database)
    with psycopg.connect(database_url()) as reader:
        reader.execute("LOCK TABLE lockstep_delivery IN ACCESS EXCLUSIVE MODE")
        counting = threading.Thread(target=count, args=[steps])
        counting.start()
        eventually(lambda: any_lock_waiter(database))
        operations.pause("test", reason="an operator's word")
        reader.rollback()
        counting.join()
    assert state()[0] == "paused"


def test_a_pause_before_the_result_of_a_count_stands(steps: Steps, database: psycopg.Connection):
    overfill(steps, database)
    pause = {"subscription": "test", "reason": "an operator's word"}
    count(steps, lambda: database.execute(OPERATIONS["pause"], pause))
    assert state()[0] == "paused"
    operations.resume("test")
    count(steps)
    assert state()[0] == "full"


def test_a_resumed_subscription_above_its_cap_is_counted_at_once(steps: Steps, database: psycopg.Connection):
    overfill(steps, database)
    count(steps)
    operations.pause("test", reason="")
    operations.resume("test")
    insert_post(database, "one more")
    steps.fan_out()
    assert state() == ("full", 0, 16)


@pytest.mark.slow
def test_it_is_counted_before_it_is_called_full(steps: Steps, database: psycopg.Connection):
    """What was placed and delivered since the last count does not count."""
    who = subscriber(cap=10)
    steps.declare(who)
    for n in range(40):
        insert_post(database, f"{n}")
        steps.fan_out()
        steps.settle(*steps.claim(who))
    assert state() == ("active", 0, 0)
