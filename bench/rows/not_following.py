"""A change on its way to its handler while 1,000 endpoints follow nothing of 10,000 other changes, and without them."""

import time

from bench.processes import start_listener
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.tables import WrongRows, empty
from bench.waits import PATIENCE, announced_writes

ENDPOINTS, CHANGES = 1_000, 10_000

ENDPOINT = """
    INSERT INTO lockstep_subscription (name, kind, follows)
    SELECT 'webhook:' || n, 'event', '{movies.movie.*}' FROM generate_series(1, %s) AS n"""
COMMENTS = """
    INSERT INTO posts_comment (post_id, name, email, body)
    SELECT (SELECT id FROM posts_post LIMIT 1), n::text, '', '' FROM generate_series(1, %s) AS n"""


class NotFollowing(Row):
    note = (
        f"ms from the end of {CHANGES:,} changes of comments to the arrival of one more, of a post, at its handler in "
        f"another process; each a transaction, or all in one. With {ENDPOINTS:,} endpoints that follow none."
    )
    comparisons = (
        Comparison("ms, transactions: with endpoints : without", "with, many", "without, many", Goal("at most", 2)),
        Comparison("ms, one transaction: with endpoints : without", "with, one", "without, one", Goal("at most", 2)),
    )

    def prepare(self) -> None:
        self.database = self.stack.enter_context(self.place.connection())

    def variants(self) -> dict[str, Variant]:
        return {
            "without": lambda: self._after_changes("without", 0),
            "with": lambda: self._after_changes("with", ENDPOINTS),
        }

    def _after_changes(self, name: str, endpoints: int) -> Figures:
        empty(self.database)
        changes = self.place.scaled(CHANGES)
        with start_listener() as listener:
            self.database.execute(ENDPOINT, [endpoints])
            write = announced_writes(self.database)

            def arrival(title: str) -> float:
                committed = write(title)
                end = time.monotonic() + PATIENCE
                while title not in listener.arrived:
                    if time.monotonic() > end:
                        raise WrongRows(f"{title} did not arrive within {PATIENCE:g} s")
                    time.sleep(0.001)
                return 1000 * (listener.arrived[title] - committed)

            arrival("warm")
            for _ in range(changes):
                self.database.execute(COMMENTS, [1])
            many = arrival("many")
            self.database.execute(COMMENTS, [changes])
            return {f"{name}, many": many, f"{name}, one": arrival("one")}
