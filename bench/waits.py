"""The time from a commit to its receiver, at a steady rate."""

import statistics
import time
from collections.abc import Callable

from bench.place import Connection
from bench.row import Figures
from bench.tables import WrongRows
from lockstep.changes.wakeup import commit_notifier

INSERT = "INSERT INTO posts_post (title, body) VALUES (%s, 'b')"
WARM_UP = 20  # first ones, which are not counted for any variant
PATIENCE = 30.0

Times = dict[str, float]  # seconds since the epoch, by the title of the post
Write = Callable[[str], float]  # writes a post with this title; returns when it was committed


def plain_writes(database: Connection) -> Write:
    """Past Django, without a notification."""

    def write(title: str) -> float:
        database.execute(INSERT, [title])
        return time.time()

    return write


def announced_writes(database: Connection) -> Write:
    """With a word to the workers after each commit, as Django's transactions have it; but faster than Django writes."""
    plain = plain_writes(database)

    def write(title: str) -> float:
        committed = plain(title)
        commit_notifier.notify()
        return committed

    return write


def measure_waits(name: str, amount: int, rate: float, write: Write, arrived: Callable[[], Times]) -> Figures:
    """ms from the commit to the arrival: "<name>, p50" and "<name>, p99"."""
    for n in range(WARM_UP):
        write(f"warm-{n}")
    _wait_for(arrived, WARM_UP)
    sent = _send(amount, rate, write)
    _wait_for(arrived, WARM_UP + amount)
    times = arrived()
    waits = sorted(1000 * (times[title] - moment) for title, moment in sent.items())
    return {f"{name}, p50": statistics.median(waits), f"{name}, p99": waits[round(0.99 * (len(waits) - 1))]}


def _send(amount: int, rate: float, write: Write) -> Times:
    sent: Times = {}
    began = time.monotonic()
    for n in range(amount):
        time.sleep(max(began + n / rate - time.monotonic(), 0))
        sent[f"{n}"] = write(f"{n}")
    return sent


def _wait_for(arrived: Callable[[], Times], amount: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(arrived()) < amount:
        if time.monotonic() > end:
            raise WrongRows(f"{len(arrived())} of {amount} arrived within {PATIENCE:g} s")
        time.sleep(0.1)
