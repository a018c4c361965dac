"""From a commit to its handler: woken, by looking alone, and through task queues that people know."""

import statistics
import time
from collections.abc import Callable

from django.db import transaction

from bench.peers import celery_worker, prepare_procrastinate, procrastinate_worker, start_redis
from bench.processes import start_listener
from bench.row import Comparison, Figures, Goal, Manner, Row
from bench.stamps import stamps
from bench.tables import WrongRows, empty
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.wakeup import announcer
from lockstep.posts.models import Post

SELDOM, OFTEN = 20, 1_000  # commits a second
WRITES = {SELDOM: 200, OFTEN: 5_000}
WARM_UP = 20  # first ones that do not count, for whoever is measured
PATIENCE = 30.0

INSERT = "INSERT INTO posts_post (title, body) VALUES (%s, 'b')"

Times = dict[str, float]  # seconds since the epoch, by the title of the post
Write = Callable[[str], float]  # writes a post with this title; returns when it was committed


class Latency(Row):
    note = (
        "ms from the commit of a post to the beginning of its handler, which does nothing, in another process; "
        f"{WRITES[SELDOM]} posts at {SELDOM} a second, or {WRITES[OFTEN]:,} at {OFTEN:,} a second, after {WARM_UP} "
        "that do not count. Woken: written through Django, whose process tells the workers after the commit. Looking: "
        "written past Django, so that the worker finds it when it looks. Celery, Procrastinate: a task is sent after "
        "the commit."
    )
    comparisons = (
        Comparison("p50 ms : Celery", "woken, p50", "Celery, p50", Goal("at most", 4, of="ours")),
        Comparison("p99 ms : Celery", "woken, p99", "Celery, p99", Goal("at most", 12, of="ours")),
        Comparison("p50 ms : Procrastinate", "woken, p50", "Procrastinate, p50"),
        Comparison("p99 ms : Procrastinate", "woken, p99", "Procrastinate, p99"),
        Comparison("p50 ms, woken : looking", "woken, p50", "looking, p50"),
        Comparison("p50 ms, at 1,000/s : at 20/s", "often, p50", "woken, p50", Goal("at most", 15, of="ours")),
        Comparison("p99 ms, at 1,000/s : at 20/s", "often, p99", "woken, p99", Goal("at most", 60, of="ours")),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())
        start_redis(self.stack)
        prepare_procrastinate()

    def manners(self) -> dict[str, Manner]:
        return {
            "woken": lambda: self._ours("woken", SELDOM, _through_django()),
            "Celery": self._celery,
            "Procrastinate": self._procrastinate,
            "looking": lambda: self._ours("looking", SELDOM, self._past_django),
            "often": lambda: self._ours("often", OFTEN, self._and_announced),
        }

    def _past_django(self, title: str) -> float:
        self.database.execute(INSERT, [title])
        return time.time()

    def _and_announced(self, title: str) -> float:
        """As Django does it, but a thousand times a second."""
        committed = self._past_django(title)
        announcer.announce()
        return committed

    def _ours(self, name: str, rate: int, write: Write) -> Figures:
        empty(self.database)
        with start_listener() as listener:
            return self._measure(name, rate, write, lambda: listener.arrived)

    def _celery(self) -> Figures:
        from bench.celery_app import note

        empty(self.database)
        file = self.place.folder / "celery"
        with celery_worker(file):
            return self._measure("Celery", SELDOM, _through_django(note.delay), lambda: stamps(file))

    def _procrastinate(self) -> Figures:
        from bench.procrastinate_app import app, note

        empty(self.database)
        file = self.place.folder / "procrastinate"
        with procrastinate_worker(file), app.open():
            write = _through_django(lambda title: note.defer(title=title))
            return self._measure("Procrastinate", SELDOM, write, lambda: stamps(file))

    def _measure(self, name: str, rate: int, write: Write, arrived: Callable[[], Times]) -> Figures:
        amount = self.place.scaled(WRITES[rate])
        for n in range(WARM_UP):
            write(f"warm-{n}")
        _wait_for(arrived, WARM_UP)
        sent = _send(amount, rate, write)
        _wait_for(arrived, WARM_UP + amount)
        times = arrived()
        waits = sorted(1000 * (times[title] - moment) for title, moment in sent.items())
        return {f"{name}, p50": statistics.median(waits), f"{name}, p99": waits[round(0.99 * (len(waits) - 1))]}


def _through_django(afterwards: Callable[[str], object] = str) -> Write:
    """Writes a post, and does something after the commit, as people do who use a task queue."""

    def write(title: str) -> float:
        committed: list[float] = []
        with attributed_transaction(actor="bench"):
            transaction.on_commit(lambda: committed.append(time.time()))
            Post.objects.create(title=title, body="b")
            transaction.on_commit(lambda: afterwards(title))
        return committed[0]

    return write


def _send(amount: int, rate: int, write: Write) -> Times:
    """When each was written, at a steady rate."""
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
