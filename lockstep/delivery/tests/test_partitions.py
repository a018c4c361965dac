"""Days of the log go when they are past retention, and not before everybody has had what is in them."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connections, transaction

from lockstep.delivery import operations
from lockstep.delivery.database import Connection, open_pool
from lockstep.delivery.errors import Rejected
from lockstep.delivery.housekeeping import UPKEEP
from lockstep.delivery.partitions import _drop, drop_old_partitions
from lockstep.delivery.reports import ChangeFilter
from lockstep.delivery.tests.support import EVENT, Steps

DAYS = ("lockstep_change_20200101", "lockstep_change_20200102")


@pytest.fixture
def old_days(database: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Two days of the year 2020 with a change each."""
    for name, day in zip(DAYS, ("2020-01-01", "2020-01-02"), strict=True):
        end = f"'{day}Z'::timestamptz + interval '1 day'"
        database.execute(f"CREATE TABLE {name} PARTITION OF lockstep_change FOR VALUES FROM ('{day}Z') TO ({end})")
        database.execute(
            "INSERT INTO lockstep_change (at, model, object_id, kind, after)"
            " VALUES (%s, 'posts.post', %s, 'created', '{}')",
            [f"{day} 12:00Z", day],
        )
    yield database
    for name in DAYS:
        database.execute(f"DROP TABLE IF EXISTS {name}")


def drop() -> list[str]:
    async def run() -> list[str]:
        async with open_pool(size=1) as pool:
            return await drop_old_partitions(pool)

    return asyncio.run(run())


def test_old_days_go_and_later_ones_stay(old_days: psycopg.Connection, steps: Steps):
    steps.declare(EVENT)
    before = old_days.execute(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'lockstep_change'::regclass"
    ).fetchone()
    assert drop() == list(DAYS)
    after = old_days.execute(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'lockstep_change'::regclass"
    ).fetchone()
    assert before
    assert after == (before[0] - len(DAYS),)
    assert drop() == []


def test_days_within_retention_are_kept(old_days: psycopg.Connection, steps: Steps, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(settings.LOCKSTEP, "RETENTION_DAYS", 36_500)
    assert drop() == []


def test_a_week_is_kept_for_changes_not_fanned_out(
    old_days: psycopg.Connection, steps: Steps, caplog: pytest.LogCaptureFixture
):
    steps.declare(EVENT)
    operations.rewind("test")
    with caplog.at_level(logging.WARNING):
        assert drop() == []
    assert "lockstep_change_20200101 is past retention and kept, because test still needs it" in caplog.text


def test_a_week_is_kept_for_waiting_deliveries(old_days: psycopg.Connection, steps: Steps):
    steps.declare(EVENT)
    operations.rewind("test")
    while steps.behind():
        steps.fan_out()
    first, second = sorted(steps.claim(EVENT), key=lambda claim: claim.change.at)
    assert drop() == []
    steps.settle(first)
    assert drop() == [DAYS[0]]
    steps.settle(second)
    assert drop() == [DAYS[1]]


def test_a_week_is_kept_for_open_dead_letters(old_days: psycopg.Connection, steps: Steps):
    steps.declare(EVENT)
    operations.rewind("test")
    while steps.behind():
        steps.fan_out()
    steps.settle(*steps.claim(EVENT), error=Rejected("no"))
    assert drop() == []
    operations.discard_letters(ChangeFilter("test"), reason="too old")
    assert drop() == list(DAYS)


class RewindingAfterTheFirstLook:
    """A connection of retention's; once it was asked who needs the week, a subscription goes back to it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transaction = connection.transaction
        self.looked = False

    async def execute(self, statement: Any, *parameters: Any) -> psycopg.AsyncCursor[Any]:
        cursor = await self.connection.execute(statement, *parameters)
        if statement == UPKEEP["needed_by"] and not self.looked:
            self.looked = True
            await asyncio.to_thread(rewind)
        return cursor


def rewind() -> None:
    operations.rewind("test")
    connections.close_all()


def test_a_week_is_kept_for_a_concurrent_rewind(old_days: psycopg.Connection, steps: Steps):
    steps.declare(EVENT)

    async def run() -> list[str]:
        async with open_pool(size=1) as pool, pool.connection() as connection:
            return await _drop(RewindingAfterTheFirstLook(connection), 30)  # type: ignore[arg-type]

    assert asyncio.run(run()) == []
    while steps.behind():
        steps.fan_out()
    assert len(steps.claim(EVENT)) == len(DAYS)


def test_a_week_that_a_replay_is_placing_is_not_waited_for(old_days: psycopg.Connection, steps: Steps):
    steps.declare(EVENT)
    with transaction.atomic():
        operations.replay_span(ChangeFilter("test", until=datetime(2020, 1, 2, tzinfo=UTC)))
        assert drop() == []
    assert drop() == []
    steps.settle(*steps.claim(EVENT))
    assert drop() == list(DAYS)


def test_dropping_a_week_does_not_wait_for_readers(old_days: psycopg.Connection, steps: Steps):
    with old_days.transaction():
        old_days.execute("SELECT count(*) FROM lockstep_change")
        assert drop() == []
    assert drop() == list(DAYS)


def test_a_subscription_that_is_gone_from_the_code_can_be_removed(old_days: psycopg.Connection, steps: Steps):
    steps.declare(EVENT)
    operations.rewind("test", since=None)
    steps.fan_out()
    operations.remove("test")
    assert operations.status() == []
    assert old_days.execute("SELECT count(*) FROM lockstep_delivery").fetchone() == (0,)
    assert drop() == list(DAYS)


def test_a_subscription_of_the_code_is_not_removed(database: psycopg.Connection):
    with pytest.raises(operations.StillDeclared):
        operations.remove("jsonplaceholder-mirror")
