"""What capture costs a writer: single rows with pgbench, and statements that change 10,000 rows."""

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from bench.processes import run_pgbench
from bench.row import Comparison, Figures, Goal, Manner, Row
from bench.tables import Posts, empty, settle, silenced, without_capture

POSTS = 100_000
BULK = 10_000
BULK_TIMES = 5  # statements in one run, of which the median counts: one takes a tenth of a second
SECONDS = 5
SHORTEST = 1

SCRIPT = """
\\set number random(1, {posts})
UPDATE posts_post SET title = 'title ' || random()::text WHERE number = :number;
"""
BULK_UPDATE = "UPDATE posts_post SET title = title || '.' WHERE number BETWEEN %(first)s AND %(last)s"


class Write(Row):
    note = (
        "Single rows: transactions/s of pgbench, one UPDATE of a title each. 10,000 rows: seconds of one statement. "
        '"Bare" has the four capture triggers of posts off and everything else on.'
    )
    comparisons = (
        Comparison(
            "UPDATE, 16 clients : bare", "UPDATE, 16 clients", "UPDATE, 16 clients, bare", Goal("at least", 0.8)
        ),
        Comparison("UPDATE, 1 client : bare", "UPDATE, 1 client", "UPDATE, 1 client, bare"),
        Comparison("UPDATE of 10,000, s : bare", "UPDATE of 10,000", "UPDATE of 10,000, bare", Goal("at most", 2)),
        Comparison("INSERT of 10,000, s : bare", "INSERT of 10,000", "INSERT of 10,000, bare", Goal("at most", 2)),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())
        self.posts = self.place.scaled(POSTS)
        self.bulk = self.place.scaled(BULK)
        self.script = self.place.folder / "update.sql"
        self.script.write_text(SCRIPT.format(posts=self.posts))

    def manners(self) -> dict[str, Manner]:
        works: dict[str, Callable[[], float]] = {
            "UPDATE, 16 clients": partial(self._updates, 16),
            "UPDATE, 1 client": partial(self._updates, 1),
            "UPDATE of 10,000": self._bulk_update,
            "INSERT of 10,000": self._bulk_insert,
        }
        pairs: dict[str, Manner] = {}
        for name, work in works.items():
            pairs[name] = partial(self._run, name, work, captured=True)
            pairs[f"{name}, bare"] = partial(self._run, f"{name}, bare", work, captured=False)
        return pairs

    def _run(self, name: str, work: Callable[[], float], *, captured: bool) -> Figures:
        empty(self.database)
        with silenced(self.database):
            Posts(1, self.posts).insert(self.database)
        settle(self.database, "posts_post")
        with nullcontext() if captured else without_capture(self.database, "posts_post"):
            return {name: work()}

    def _updates(self, clients: int) -> float:
        seconds = max(round(SECONDS * min(self.place.scale, 1)), SHORTEST)
        return run_pgbench(self.place.url, self.script, clients=clients, seconds=seconds)

    def _bulk_update(self) -> float:
        some = {"first": 1, "last": self.bulk}
        return statistics.median(_seconds(lambda: self.database.execute(BULK_UPDATE, some)) for _ in range(BULK_TIMES))

    def _bulk_insert(self) -> float:
        starts = [self.posts + 1 + time * self.bulk for time in range(BULK_TIMES)]
        batches = [Posts(start, start + self.bulk - 1) for start in starts]
        return statistics.median(_seconds(partial(batch.insert, self.database)) for batch in batches)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
