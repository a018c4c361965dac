"""From a commit to its handler: woken, and by looking alone."""

import statistics
import time
from collections.abc import Callable

from bench.processes import Listener, start_listener
from bench.row import Comparison, Figures, Goal, Manner, Row
from bench.tables import WrongRows, empty
from lockstep.changes.attribution import attributed_transaction
from lockstep.posts.models import Post

WRITES = 200
RATE = 20
PATIENCE = 30.0

INSERT = "INSERT INTO posts_post (title, body) VALUES (%s, 'b')"


class Latency(Row):
    note = (
        f"ms from the commit of a post to the beginning of its handler, which does nothing, in another process; "
        f"{WRITES} posts at {RATE} a second. Woken: written through Django, whose process tells the workers after the "
        "commit. Looking: written past Django, so that the worker finds it when it looks."
    )
    comparisons = (
        Comparison("woken, p50 ms : looking", "woken, p50", "looking, p50", Goal("at most", 4, of="ours")),
        Comparison("woken, p99 ms : looking", "woken, p99", "looking, p99", Goal("at most", 12, of="ours")),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())

    def manners(self) -> dict[str, Manner]:
        return {
            "woken": lambda: self._measure("woken", _write_through_django),
            "looking": lambda: self._measure("looking", lambda title: self.database.execute(INSERT, [title])),
        }

    def _measure(self, name: str, write: Callable[[str], object]) -> Figures:
        empty(self.database)
        amount = self.place.scaled(WRITES)
        with start_listener() as listener:
            sent = _send(amount, write)
            arrived = _arrivals(listener, amount)
        waits = sorted(1000 * (arrived[title] - moment) for title, moment in sent.items())
        return {f"{name}, p50": statistics.median(waits), f"{name}, p99": waits[round(0.99 * (len(waits) - 1))]}


def _write_through_django(title: str) -> None:
    with attributed_transaction(actor="bench"):
        Post.objects.create(title=title, body="b")


def _send(amount: int, write: Callable[[str], object]) -> dict[str, float]:
    """When each was committed, by its title; at a steady rate."""
    sent: dict[str, float] = {}
    began = time.monotonic()
    for n in range(amount):
        time.sleep(max(began + n / RATE - time.monotonic(), 0))
        write(f"{n}")
        sent[f"{n}"] = time.time()
    return sent


def _arrivals(listener: Listener, amount: int) -> dict[str, float]:
    end = time.monotonic() + PATIENCE
    while len(listener.arrived) < amount:
        if time.monotonic() > end:
            raise WrongRows(f"{len(listener.arrived)} of {amount} changes arrived within {PATIENCE:g} s")
        time.sleep(0.1)
    return listener.arrived
