"""What capture costs a writer: single rows with pgbench, and statements that change 10,000 rows."""

import statistics
import time
from collections.abc import Callable
from functools import partial

from bench.processes import run_pgbench
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.tables import Posts, WrongRows, count, empty, settle, silenced, without_capture

POSTS = 100_000
BULK = 10_000
TURNS = 3  # of captured and bare in one run, of which the medians count
SECONDS = 2
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

    def variants(self) -> dict[str, Variant]:
        works: dict[str, Callable[[int], float]] = {
            "UPDATE, 16 clients": partial(self._updates, 16),
            "UPDATE, 1 client": partial(self._updates, 1),
            "UPDATE of 10,000": self._bulk_update,
            "INSERT of 10,000": self._bulk_insert,
        }
        return {name: partial(self._side_by_side, name, work) for name, work in works.items()}

    def _side_by_side(self, name: str, work: Callable[[int], float]) -> Figures:
        """Captured and bare in turn, on the same table: a busy disk disturbs a burst, seldom half of them."""
        self._fill()
        captured, bare = [], []
        for turn in range(TURNS):
            captured.append(self._watched(work, 2 * turn, captured=True))
            with without_capture(self.database, "posts_post"):
                bare.append(self._watched(work, 2 * turn + 1, captured=False))
        return {name: statistics.median(captured), f"{name}, bare": statistics.median(bare)}

    def _fill(self) -> None:
        empty(self.database)
        with silenced(self.database, "posts_post"):
            Posts(1, self.posts).insert(self.database)
        settle(self.database, "posts_post")

    def _watched(self, work: Callable[[int], float], turn: int, *, captured: bool) -> float:
        before = count(self.database, "lockstep_change")
        figure = work(turn)
        if (count(self.database, "lockstep_change") > before) != captured:
            raise WrongRows(f"the log {'did not grow' if captured else 'grew'}")
        return figure

    def _updates(self, clients: int, _turn: int) -> float:
        seconds = max(round(SECONDS * min(self.place.scale, 1)), SHORTEST)
        return run_pgbench(self.place.url, self.script, clients=clients, seconds=seconds)

    def _bulk_update(self, _turn: int) -> float:
        some = {"first": 1, "last": self.bulk}
        return _seconds(lambda: self.database.execute(BULK_UPDATE, some))

    def _bulk_insert(self, turn: int) -> float:
        start = self.posts + 1 + turn * self.bulk
        return _seconds(partial(Posts(start, start + self.bulk - 1).insert, self.database))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
