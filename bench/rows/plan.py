"""A sync plan, against the time that the provider takes to hand its lists over."""

from functools import partial

import httpx

from bench.processes import run_child, start_stand_in
from bench.row import Comparison, Figures, Goal, Row, Variant
from bench.tables import WrongRows, empty, settle, silenced

POSTS, COMMENTS_PER_POST = 20_000, 4
LINK = 12_500_000  # bytes a second: 100 Mbit/s
DIFFERENT = "UPDATE {} SET body = body || '.' WHERE number % 100 = 0"


class SyncPlan(Row):
    note = (
        "seconds, over 20,000 posts and 80,000 comments that were imported, of which one in a hundred was changed. "
        "The peer reads both lists to their end and throws them away. The provider hands them over at 100 Mbit/s, "
        "which is the goal's case, and as fast as it can from its memory on the same machine, which no network does."
    )
    comparisons = (
        Comparison("plan at 100 Mbit/s, s : list", "plan, link: seconds", "list, link: seconds", Goal("at most", 1.2)),
        Comparison("plan from memory, s : list", "plan: seconds", "list: seconds"),
        Comparison("plan, MiB : at a tenth", "plan: MiB at 100 %", "plan: MiB at 10 %", Goal("at most", 1.1)),
        Comparison("plan, MiB : listing alone", "plan: MiB at 100 %", "list: MiB at 100 %"),
    )

    def prepare(self) -> None:
        """The changes stay outside the log, as if they had been delivered long ago and the provider lost them."""
        database = self.stack.enter_context(self.place.connection())
        posts = self.place.scaled(POSTS)
        self.url = start_stand_in(self.stack, posts=posts, comments_per_post=COMMENTS_PER_POST)
        empty(database)
        run_child("import", self.url)
        tables = ("posts_post", "posts_comment")
        with silenced(database, *tables):
            self.different = sum(database.execute(DIFFERENT.format(table)).rowcount for table in tables)
        settle(database, *tables, "lockstep_mirror_remoteobject")

    def variants(self) -> dict[str, Variant]:
        links: dict[str, int | None] = {"": None, ", link": LINK}
        return {
            f"{task}{name}": partial(self._run, task, name, pace)
            for name, pace in links.items()
            for task in ("plan", "list")
        }

    def _run(self, task: str, link: str, pace: int | None) -> Figures:
        httpx.put(f"{self.url}/_faults", json={"pace": pace}).raise_for_status()
        figures = run_child(task, self.url)
        if (found := figures.pop("found")) != (self.different if task == "plan" else 0):
            raise WrongRows(f"the {task} found {found:,.0f} differences, and {self.different:,} were made")
        return {f"{task}{link}: {name}": value for name, value in figures.items()}
