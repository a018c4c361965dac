"""Back-pressure: a subscription that is full takes no more, in sight of everybody; writers do not notice."""

import asyncio

import psycopg
import pytest

from lockstep.delivery import housekeeping, operations
from lockstep.delivery.database import open_pool
from lockstep.delivery.subscriptions import Subscriber
from lockstep.delivery.tests.support import Steps, insert_post, subscriber, waiting


def relieve() -> None:
    async def run() -> None:
        async with open_pool(2) as pool:
            await housekeeping.relieve(pool)

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


def test_a_full_subscription_takes_no_more_and_says_so(full: Subscriber, steps: Steps, database: psycopg.Connection):
    assert state() == ("full", 5, 10)
    assert (steps.behind(), steps.fan_out()) == ([], 0)
    [status] = operations.status()
    assert status.reason == "10 changes wait; it takes no more"


def test_what_waits_is_delivered_and_then_it_goes_on(full: Subscriber, steps: Steps, database: psycopg.Connection):
    delivered = steps.claim(full, limit=4)
    steps.settle(*delivered)
    relieve()
    assert state() == ("full", 5, 6)
    delivered += steps.claim(full, limit=1)
    steps.settle(delivered[-1])
    relieve()
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
