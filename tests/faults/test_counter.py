"""Defects come and go, the counter loses half of what it is told, and the worker is killed: it ends exactly right."""

import random
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest

from backend.defects.broadcast import NAME
from backend.defects.gap import compare, counted_tallies, expected_tallies
from conftest import database_url
from devstack.sandbox.counter import StandIn
from lockstep.delivery import operations
from lockstep.delivery.reports import ChangeFilter
from lockstep.tests.kit.workers import WorkerProcess
from tests.faults.processes import working
from tests.support import Cast, database_address, eventually

WRITERS = 4
# Half of all messages fail: some are counted and their answer is lost, in either of two ways, some never arrive.
FAILING = [
    {"methods": ["POST"], "share": 0.2, "status": 500, "after_effect": True},
    {"methods": ["POST"], "share": 0.2, "cut": True, "after_effect": True},
    {"methods": ["POST"], "share": 0.2, "status": 503},
]
REPORT = "INSERT INTO defects_defect (user_id, comment) VALUES (%s, 'a') RETURNING id"
TAKE_BACK = "UPDATE defects_defect SET deleted = now() WHERE id = %s"


def write(users: list[int], defects: int, seed: int) -> None:
    """Each defect is a transaction; a third is taken back soon, some are never committed."""
    dice, open_ones = random.Random(seed), []
    with psycopg.connect(database_url()) as connection:
        for _ in range(defects):
            open_ones += connection.execute(REPORT, [dice.choice(users)]).fetchall()
            if dice.random() < 0.05:
                connection.rollback()
                open_ones.pop()
            connection.commit()
            if open_ones and dice.random() < 0.33:
                connection.execute(TAKE_BACK, open_ones.pop(dice.randrange(len(open_ones))))
                connection.commit()


def counting(counter: StandIn, folder: Path) -> AbstractContextManager[WorkerProcess]:
    """A worker that delivers to this counter, killed at the end of the block."""
    return working(database_address(), folder, COUNTER_URL=counter.url, LOG_LEVEL="WARNING")


def is_subscribed() -> bool:
    return any(status.name == NAME for status in operations.status())


def is_done(database: psycopg.Connection) -> bool:
    """Whether nothing is on its way. What waits to be tried again is due at once, and what was given up is replayed."""
    database.execute("UPDATE lockstep_lane SET next_at = now() WHERE failure IS NOT NULL")
    if operations.dead_letters(ChangeFilter(NAME), limit=1):
        operations.replay_letters(ChangeFilter(NAME))
        return False
    [status] = [status for status in operations.status() if status.name == NAME]
    return not (status.behind or status.waiting)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("defects", "kills"),
    [pytest.param(100, 2, marks=pytest.mark.slow), pytest.param(10_000, 50, marks=pytest.mark.faults)],
)
@pytest.mark.timeout(1_800)
def test_the_counter_ends_exactly_right(
    cast: Cast, settings, database: psycopg.Connection, tmp_path: Path, defects: int, kills: int
):
    database.execute("DELETE FROM lockstep_subscription")
    users = [person.user.number for person in (cast.owner, cast.colleague, cast.outsider)]
    dice = random.Random(defects)
    with StandIn() as counter:
        settings.COUNTER_URL = counter.url
        counter.faults(*FAILING)
        with counting(counter, tmp_path):
            eventually(is_subscribed, "the worker")
        writers = [
            threading.Thread(target=write, args=(users, defects // WRITERS, seed), daemon=True)
            for seed in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        for _ in range(kills):
            seen = counter.shown()
            with counting(counter, tmp_path):
                eventually(lambda seen=seen: counter.shown() != seen or is_done(database), "anything to happen")
                time.sleep(dice.uniform(0, 1.5))  # when it dies is chance
                is_done(database)
        for writer in writers:
            writer.join()
        with counting(counter, tmp_path):
            eventually(lambda: is_done(database), "everything to arrive", 600)
        lines = compare(expected_tallies(), counted_tallies())
        assert [line.user for line in lines] == users
        assert [line.gap for line in lines] == [(0, 0)] * len(users)
        shown = counter.shown()
        assert shown["messages"] == sum(line.expected.create + line.expected.delete for line in lines) >= defects
        assert shown["repeats"] >= defects // 10, "nothing was put to the test"
