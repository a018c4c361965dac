"""From a commit to its handler: woken, by looking alone, and through task queues that people know."""

import time
from collections.abc import Callable

from django.db import transaction

from backend.posts.models import Post
from bench.peers import celery_worker, prepare_procrastinate, procrastinate_worker, start_redis
from bench.processes import start_listener
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.stamps import stamps
from bench.tables import empty
from bench.waits import WARM_UP, Write, announced_writes, measure_waits, plain_writes
from lockstep.changes.attribution import attributed_transaction

SELDOM, OFTEN = 20, 1_000  # commits a second
WRITES = {SELDOM: 200, OFTEN: 5_000}


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

    def variants(self) -> dict[str, Variant]:
        return {
            "woken": lambda: self._ours("woken", SELDOM, _through_django()),
            "Celery": self._celery,
            "Procrastinate": self._procrastinate,
            "looking": lambda: self._ours("looking", SELDOM, plain_writes(self.database)),
            "often": lambda: self._ours("often", OFTEN, announced_writes(self.database)),
        }

    @property
    def _seldom(self) -> int:
        return self.place.scaled(WRITES[SELDOM])

    def _ours(self, name: str, rate: int, write: Write) -> Figures:
        empty(self.database)
        with start_listener() as listener:
            return measure_waits(name, self.place.scaled(WRITES[rate]), rate, write, lambda: listener.arrived)

    def _celery(self) -> Figures:
        from bench.celery_app import note

        empty(self.database)
        file = self.place.folder / "celery"
        with celery_worker(file):
            return measure_waits("Celery", self._seldom, SELDOM, _through_django(note.delay), lambda: stamps(file))

    def _procrastinate(self) -> Figures:
        from bench.procrastinate_app import app, note

        empty(self.database)
        file = self.place.folder / "procrastinate"
        with procrastinate_worker(file), app.open():
            write = _through_django(lambda title: note.defer(title=title))
            return measure_waits("Procrastinate", self._seldom, SELDOM, write, lambda: stamps(file))


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
