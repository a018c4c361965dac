"""Killing, stopping and misleading workers and PostgreSQL while people write: nothing lost, nothing out of order.

The seed is printed with a failure; LOCKSTEP_SEED=<n> runs it again.
"""

import os
import random
import signal
import time
from pathlib import Path

import psycopg
import pytest
from faults.crash_trial import POINTS, STATEMENTS, WRITERS, CrashTrial, crash_trial, wait_for
from faults.crashing_worker import FAILS_EVERY, RETRY
from kit.ports import free_port
from kit.statements import NAMES
from kit.waiting import eventually

pytestmark = [pytest.mark.needs("linux"), pytest.mark.django_db(transaction=True)]

SEED = int(os.environ.get("LOCKSTEP_SEED", random.randrange(10**6)))
IN_FLIGHT = 8  # deliveries that one worker has under way at most


def killed_workers(folder: Path, seed: int, changes: int, kills: int) -> None:
    with crash_trial(folder, seed) as trial:
        writers = trial.write(changes)
        trial.keep_killing(kills)
        wait_for(writers)
        trial.drain()
        trial.judge()
        assert trial.repeats <= IN_FLIGHT * (trial.deaths + 4) + retries(trial), f"seed {seed}"


def retries(trial: CrashTrial) -> int:
    """Attempts that failed on purpose, at most: those are repeats that no death made."""
    return len(trial.received()) // FAILS_EVERY + 1


def test_each_point_is_at_a_statement_that_workers_execute():
    """A worker would never come to any other one."""
    assert set(STATEMENTS) <= {name for _, name in NAMES.values()}


def test_workers_die_at_named_points(home: Path):
    killed_workers(home, SEED, changes=120, kills=2)


@pytest.mark.faults
@pytest.mark.timeout(3_600)
def test_workers_die_two_hundred_times(home: Path):
    killed_workers(home, SEED, changes=10_000, kills=200)


@pytest.mark.parametrize("point", sorted(set(POINTS)))
@pytest.mark.faults
def test_a_worker_dies_at_every_point(home: Path, point: str):
    with crash_trial(home, SEED) as trial:
        wait_for(trial.write(200))
        worker = trial.start_worker(point, 2)
        eventually(lambda: worker.poll() == -signal.SIGKILL or trial.is_drained(), f"death {point}")
        trial.drain()
        trial.judge()


@pytest.mark.faults
def test_workers_that_die_between_the_answer_and_the_settlement_use_up_no_attempt(home: Path):
    """Eight deaths and one 503 made a dead letter. The short form is test_only_an_answer_uses_up_an_attempt."""
    deaths = 9
    with crash_trial(home, SEED) as trial, psycopg.connect(trial.url, autocommit=True) as connection:
        connection.execute("UPDATE blog_article SET title = 'a' WHERE id = %s", [trial.keys[0]])
        for _ in range(deaths):
            workers = [trial.start_worker("sent", 1) for _ in range(2)]
            eventually(lambda: any(worker.poll() == -signal.SIGKILL for worker in workers), "a death")  # noqa: B023
            trial.end_workers()
        assert connection.execute("SELECT attempts FROM lockstep_lane").fetchall() == [(0,)]
        trial.drain()
        trial.judge()
        assert trial.repeats >= deaths


def killed_postgres(folder: Path, seed: int, changes: int, kills: int) -> None:
    with crash_trial(folder, seed, durable=True, port=free_port()) as trial:
        writers = trial.write(changes)
        trial.start_worker()
        for _ in range(kills):
            time.sleep(trial.random.uniform(0.2, 1.5))
            trial.server.kill()
            trial.server.start()
            size = trial.log.stat().st_size if trial.log.exists() else 0
            if any(writer.is_alive() for writer in writers):
                eventually(lambda: trial.log.exists() and trial.log.stat().st_size > size, "delivery to go on")  # noqa: B023
        wait_for(writers)
        trial.end_workers()
        trial.drain(patience=120 + changes / 80)  # one change in 17 waits, and its object waits with it
        trial.judge()


def test_postgres_dies(home: Path):
    killed_postgres(home, SEED, changes=120, kills=1)


@pytest.mark.faults
@pytest.mark.timeout(3_600)
def test_postgres_dies_a_hundred_times(home: Path):
    killed_postgres(home, SEED, changes=40_000, kills=100)


@pytest.mark.parametrize("naps", [1, pytest.param(4, marks=pytest.mark.faults)])
def test_a_worker_that_slept_past_its_leases_changes_nothing(home: Path, naps: int):
    """SIGSTOP with deliveries in flight; another worker takes its lanes; then it wakes up and settles."""
    with crash_trial(home, SEED) as trial:
        writers = trial.write(120 * naps)
        sleeper = trial.start_worker()
        trial.start_worker()
        for _ in range(naps):
            size = trial.log.stat().st_size if trial.log.exists() else 0
            eventually(lambda: (trial.log.exists() and trial.log.stat().st_size > size) or trial.is_drained(), "work")  # noqa: B023
            sleeper.send_signal(signal.SIGSTOP)
            time.sleep(2.0)  # longer than the lease: that is the fault
            sleeper.send_signal(signal.SIGCONT)
        wait_for(writers)
        trial.end_workers()
        trial.drain()
        trial.judge()


@pytest.mark.parametrize("hours", [1, pytest.param(-1, marks=pytest.mark.faults)])
def test_a_worker_with_a_wrong_clock_claims_nothing_early(home: Path, hours: int):
    """Its retries wait as long as the database's clock says: RETRY and a fifth less at the least."""
    with crash_trial(home, SEED) as trial:
        wait_for(trial.write(40 * WRITERS))
        trial.start_worker(clock=3_600.0 * hours)
        eventually(trial.is_drained, "everything to be delivered")
        trial.end_workers()
        trial.judge()
        arrivals: dict[str, list[float]] = {}
        for line in trial.log.read_text().splitlines():
            arrivals.setdefault(line.split()[0], []).append(float(line.split()[-1]))
        again = [times for times in arrivals.values() if len(times) > 1]
        assert again
        assert all(second - first >= 0.8 * RETRY for first, second, *_ in again)


def test_the_oracle_finds_what_is_lost_doubled_or_out_of_order(home: Path):
    """An oracle that finds nothing proves nothing."""
    with crash_trial(home, SEED) as trial:
        wait_for(trial.write(80))
        trial.drain()
        trial.judge()
        lines = trial.log.read_text().splitlines(keepends=True)
        wrongs = {
            "lost": [line for line in lines if line.split()[0] != lines[-1].split()[0]],
            "never committed": [*lines, lines[-1].replace(lines[-1].split()[2], "999999")],
            "out of order": lines[::-1],
            "another id": [*lines, "another" + lines[-1]],
        }
        for what, wrong in wrongs.items():
            trial.log.write_text("".join(wrong))
            try:
                trial.judge()
            except AssertionError:
                continue
            pytest.fail(f"the oracle did not see: {what}")
