"""From a commit to the provider's yes, and what a provider that is away costs those who write."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.processes import run_child, run_pgbench, start_stand_in, start_worker
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.tables import WrongRows, empty, settle

POSTS = 10_000
ARRIVALS = 200
PAUSE = 0.05  # between two writes whose arrival is measured: 20 a second
CLIENTS = 4
SECONDS = 4
PATIENCE = 60
NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port

SCRIPT = """
\\set number random(1, {posts})
UPDATE posts_post SET title = 'title ' || random()::text WHERE number = :number;
"""
EDIT = "UPDATE posts_post SET title = title || '.' WHERE number = %s"
# Both times are PostgreSQL's: of the change as it was written, and of the acknowledgement's transaction.
ARRIVED = """
    SELECT count(*), percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
        ORDER BY extract(epoch FROM known.acknowledged_at - change.at))
    FROM lockstep_change change
    JOIN lockstep_mirror_remoteobject known ON known.object_id::text = change.object_id
    WHERE change.kind = 'updated' AND known.acknowledged_at > change.at"""


class Reach(Row):
    note = (
        "A worker runs, with a provider that answers at once. Arrival: seconds from a write to the provider's yes as "
        f"we note it, {ARRIVALS} posts edited at 20 a second. Writers: transactions/s of pgbench at {CLIENTS} clients, "
        "one UPDATE each, while the worker pushes to the provider, and while nothing listens at its address: the same "
        "but for noise."
    )
    comparisons = (
        Comparison("arrival, s: p99, p50", "arrival, p99", "arrival, p50", Goal("at most", 2, of="ours")),
        Comparison("writes/s, provider down : up", "provider down", "provider up", Goal("at least", 0.9)),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())
        self.posts = self.place.scaled(POSTS)
        self.url = start_stand_in(self.stack, posts=self.posts, comments_per_post=0)
        self.script = self.place.folder / "reach.sql"
        self.script.write_text(SCRIPT.format(posts=self.posts))

    def variants(self) -> dict[str, Variant]:
        return {
            "arrival": lambda: self._with_worker(self.url, self._arrive),
            "provider up": lambda: self._with_worker(self.url, lambda: {"provider up": self._write()}),
            "provider down": lambda: self._with_worker(NOWHERE, lambda: {"provider down": self._write()}),
        }

    def _with_worker(self, url: str, work: Callable[[], Figures]) -> Figures:
        empty(self.database)
        run_child("import", self.url)
        settle(self.database, "posts_post", "lockstep_mirror_remoteobject", "lockstep_change")
        with self._worker(url):
            return work()

    @contextmanager
    def _worker(self, url: str) -> Iterator[None]:
        """From when it has declared its subscriptions: what the import left in the log is older than they are."""
        with start_worker(url):
            self._wait("the worker", "SELECT EXISTS (SELECT FROM lockstep_subscription)")
            yield

    def _arrive(self) -> Figures:
        amount = min(ARRIVALS, self.posts)
        for number in range(1, amount + 1):
            self.database.execute(EDIT, [number])
            time.sleep(PAUSE)
        self._wait("the last arrival", f"SELECT (SELECT count FROM ({ARRIVED}) AS arrived) = {amount}")
        ((_, (median, slowest)),) = self.database.execute(ARRIVED).fetchall()
        return {"arrival, p50": median, "arrival, p99": slowest}

    def _write(self) -> float:
        seconds = max(round(SECONDS * min(self.place.scale, 1)), 1)
        return run_pgbench(self.place.url, self.script, clients=CLIENTS, seconds=seconds)

    def _wait(self, what: str, question: str) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ((yes,),) = self.database.execute(question).fetchall()
            if yes:
                return
            time.sleep(0.1)
        raise WrongRows(f"{what} did not come within {PATIENCE} s")
