"""The database's clock steps back: nothing sleeps until the old time comes again, and what sleeps is named."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from conftest import database_url
from lockstep.delivery import periodic
from lockstep.delivery.epochs import ServerState, Watch
from lockstep.delivery.periodic import PeriodicWork, overdue
from lockstep.delivery.relay import bring_near
from lockstep.delivery.retry import MAX_DELAY
from lockstep.delivery.tests.support import Steps, insert_post, subscriber
from tests.support import BackgroundWorker, eventually

LEASE = subscriber().lease


@pytest.fixture
def works(database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> list[PeriodicWork]:
    """Periodic work of its own, and none of the project's."""
    works: list[PeriodicWork] = []
    monkeypatch.setattr(periodic, "_registered", works)
    return works


def declare(database: psycopg.Connection, work: PeriodicWork, seconds: float) -> None:
    """Due in so many seconds, by the clock as it is now."""
    database.execute(
        "INSERT INTO lockstep_periodictask VALUES (%s, clock_timestamp() + %s)",
        [work.name, timedelta(seconds=seconds)],
    )


def take(work: PeriodicWork) -> bool:
    async def run() -> bool:
        async with await psycopg.AsyncConnection.connect(database_url(), autocommit=True) as connection:
            return await periodic._take(connection, work) is not None

    return asyncio.run(run())


async def nothing(pool: Any) -> None:
    """Periodic work that does nothing."""


@pytest.mark.parametrize(
    ("every", "seconds", "is_due"),
    [
        (60.0, -1, True),
        (60.0, 30, False),
        (60.0, 58, False),
        (60.0, 62, True),  # the clock stepped back two seconds since it was put off
        (60.0, 660, True),  # ten minutes
        (60.0, 3660, True),  # an hour
        (None, -1, True),
        (None, 30, False),
        (None, 3605, True),  # requested within five seconds, an hour ago by the clock of then
    ],
)
def test_work_put_off_further_than_its_interval_is_due(
    works: list[PeriodicWork], database: psycopg.Connection, every: float | None, seconds: float, is_due: bool
):
    work = PeriodicWork("test", every, nothing)
    declare(database, work, seconds)
    assert take(work) is is_due
    assert take(work) is False


def test_work_on_request_is_not_due_without_a_request(works: list[PeriodicWork], database: psycopg.Connection):
    database.execute("INSERT INTO lockstep_periodictask VALUES ('test', 'infinity')")
    assert take(PeriodicWork("test", None, nothing)) is False


def test_late_periodic_work_is_reported(works: list[PeriodicWork], database: psycopg.Connection):
    for name, every, seconds in [
        ("in time", 60.0, 59),
        ("a little late", 60.0, -100),
        ("late", 60.0, -200),
        ("often, and a little late", 1.0, -50),
        ("put off too far", 60.0, 4000),
        ("requested, and forgotten", None, -200),
    ]:
        work = PeriodicWork(name, every, nothing)
        works.append(work)
        declare(database, work, seconds)
    works.append(PeriodicWork("never declared", 60.0, nothing))
    database.execute("INSERT INTO lockstep_periodictask VALUES ('of older code', now() - interval '1 day')")
    assert overdue() == ["late", "put off too far", "requested, and forgotten"]


def put_off(database: psycopg.Connection, seconds: float, failure: str | None) -> None:
    database.execute(
        "UPDATE lockstep_lane SET next_at = clock_timestamp() + %s, failure = %s",
        [timedelta(seconds=seconds), failure],
    )


def bring(leases: dict[str, float], step: float = 0.0) -> None:
    async def run() -> None:
        async with await psycopg.AsyncConnection.connect(database_url(), autocommit=True) as connection:
            await bring_near(connection, leases, step)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("seconds", "failure", "is_brought_near"),
    [
        (LEASE - 1, None, False),
        (LEASE + 2, None, True),
        (3_600, None, True),
        (3_600, "refused", False),
        (MAX_DELAY + 60, "refused", True),
    ],
)
def test_a_lane_waits_no_longer_than_it_may(
    steps: Steps, database: psycopg.Connection, seconds: float, failure: str | None, is_brought_near: bool
):
    """Not less than a lease: a delivery may be under way."""
    steps.declare(subscriber())
    insert_post(database, "a")
    steps.fan_out()
    put_off(database, seconds, failure)
    bring({"of another": LEASE})
    bring({"test": LEASE})
    waits = database.execute("SELECT next_at - clock_timestamp() FROM lockstep_lane").fetchone()
    assert waits
    assert (waits[0] <= timedelta(seconds=LEASE)) is (is_brought_near or seconds < LEASE)
    assert waits[0] > timedelta(seconds=min(seconds, LEASE) - 10)


@pytest.mark.parametrize("delay", [5, 30, 36_000])
def test_a_failed_lane_waits_no_longer_after_a_clock_set_back(steps: Steps, database: psycopg.Connection, delay: float):
    """As long as the receiver asked for, too; and two workers notice one step."""
    step = 3_600.0 if delay < 36_000 else 40_000.0
    steps.declare(subscriber())
    insert_post(database, "a")
    steps.fan_out()
    put_off(database, delay + step, "failed")
    for _ in range(2):
        bring({"test": LEASE}, step)
        waits = database.execute("SELECT next_at - clock_timestamp() FROM lockstep_lane").fetchone()
        assert waits
        assert timedelta(seconds=delay - 10) < waits[0] <= timedelta(seconds=delay)


def test_a_starting_worker_corrects_lanes_due_too_late(
    steps: Steps, worker: BackgroundWorker, database: psycopg.Connection
):
    steps.declare(subscriber())
    insert_post(database, "a")
    steps.fan_out()
    put_off(database, 3_600, None)
    worker.subscribers = [subscriber()]
    worker.start()
    near = "SELECT next_at < clock_timestamp() + %s FROM lockstep_lane"
    eventually(lambda: database.execute(near, [timedelta(seconds=LEASE)]).fetchone() == (True,))


def life(**differing: Any) -> ServerState:
    values = {"cluster": "1", "database": 1, "is_standby": False, "timeline": 1, "inserted": 200, "flushed": 100}
    values |= {"at": datetime(2026, 11, 21, tzinfo=UTC), "before": 10.0, "after": 10.1}
    return ServerState(**values | differing)


@pytest.mark.parametrize(
    ("differing", "what"),
    [
        ({"flushed": 150, "inserted": 250}, None),
        ({"flushed": 100, "inserted": 100}, None),  # a crash: what was not flushed is gone
        ({"flushed": 90, "inserted": 99}, "1 bytes of its write-ahead log less"),
        ({"timeline": 2, "inserted": 300}, "on timeline 2 and was on 1"),
        ({"database": 2}, "dropped and made again"),
    ],
)
def test_a_database_that_was_turned_back_is_described(differing: dict[str, Any], what: str | None):
    watch = Watch()
    assert watch.turned_back(life()) is None
    watch.note(life())
    how = watch.turned_back(life(**differing))
    assert how is None if what is None else what in str(how)


@pytest.mark.parametrize(
    ("before", "clock", "step"),
    [
        (20.0, 10.0, 0),
        (20.0, 9.2, 0),  # slow answers
        (20.0, 3610.0, 0),  # forward: nothing sleeps
        (20.0, 7.9, 2),
        (20.0, -3590.0, 3600),
    ],
)
def test_a_clock_that_stepped_back_is_measured(before: float, clock: float, step: float):
    watch = Watch()
    assert watch.stepped_back(life()) == 0
    watch.note(life())
    later = life(before=before, after=before, at=life().at + timedelta(seconds=clock))
    assert watch.stepped_back(later) == pytest.approx(step, abs=0.2)
