"""Places under relays and operations in any order: each subscription gets what it follows, once and in order.

One machine plays schedules statement by statement, with operations whose transactions stay open while relays work and
relays that act on what they saw long ago; the other lets them run into each other on threads.
"""

import asyncio
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
import pytest
from django.db import connections
from faults.articles import insert_article, rename_article, subscriber
from faults.machines import run_machine
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from kit.servers import database_url
from kit.steps import Steps

from lockstep.delivery import housekeeping, operations, relay
from lockstep.delivery.database import FOR_RELAY, open_pool
from lockstep.delivery.housekeeping import UPKEEP
from lockstep.delivery.operations import OPERATIONS

T = TypeVar("T")

FOLLOWERS, OTHERS = ("a", "b", "c"), ("d", "e")  # of posts, and of nothing that is written here
NAMES = (*FOLLOWERS, *OTHERS)
WRITERS, POSTS = 2, 3
SCHEDULES = int(os.environ.get("LOCKSTEP_SCHEDULES", "60"))
PLACE = "SELECT lane.subscription_id, d.seq FROM lockstep_delivery d JOIN lockstep_lane lane ON lane.id = d.lane_id"


@dataclass
class Arrivals:
    """What was placed for each subscription since it began, or was rewound; everything is delivered at once."""

    database: psycopg.Connection[Any]
    seqs: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def take(self) -> None:
        """Judges what is new: nothing comes twice, and of one object nothing comes late."""
        rows = self.database.execute(f"{PLACE} ORDER BY d.seq").fetchall()
        self.database.execute("TRUNCATE lockstep_lane, lockstep_delivery")
        posts = dict(self.database.execute("SELECT seq, object_id FROM lockstep_change").fetchall())
        for name, seq in rows:
            before = self.seqs[name]
            assert seq not in before, f"{name} got {seq} twice"
            late = [other for other in before if posts[other] == posts[seq] and other > seq]
            assert not late, f"{name} got {seq} after {late}"
            before.append(seq)

    def forget(self, name: str, first: int) -> None:
        """A rewind: all from there on comes again."""
        self.seqs[name] = [seq for seq in self.seqs[name] if seq < first]


class Schedules(RuleBasedStateMachine):
    """One schedule."""

    database: psycopg.Connection[Any]
    held: psycopg.Connection[Any]
    loop: asyncio.AbstractEventLoop
    worker: psycopg.AsyncConnection[Any]
    writers: list[psycopg.Connection[Any]]
    posts: list[str]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        for connection in (*self.writers, self.held):
            connection.rollback()
        self.database.execute("TRUNCATE lockstep_lane, lockstep_delivery")
        self.database.execute("DELETE FROM lockstep_subscription")
        self.database.execute("DELETE FROM lockstep_place")
        self.arrivals = Arrivals(self.database)
        self.since = dict.fromkeys(NAMES, 0)
        self.seen: list[relay.Window] = []
        self.holder = ""  # the subscription whose row an open operation has
        self.locked: dict[int, int] = {}  # post → writer
        for name in NAMES:
            self.subscribe(name)
        self.advance(relay.CHUNK)

    # --- Writers

    @rule(which=st.integers(0, POSTS - 1))
    def write_at_once(self, which: int) -> None:
        if which not in self.locked:
            rename_article(self.database, self.posts[which], f"v{time.monotonic_ns()}")

    @rule(which=st.integers(0, POSTS - 1))
    def write_at_once_and_fan_out(self, which: int) -> None:
        self.write_at_once(which)
        self.advance(relay.CHUNK)

    @rule(writer=st.integers(0, WRITERS - 1), which=st.integers(0, POSTS - 1))
    def write(self, writer: int, which: int) -> None:
        if self.locked.setdefault(which, writer) == writer:
            rename_article(self.writers[writer], self.posts[which], f"v{time.monotonic_ns()}")

    @rule(writer=st.integers(0, WRITERS - 1), kept=st.booleans())
    def end(self, writer: int, kept: bool) -> None:
        self.writers[writer].commit() if kept else self.writers[writer].rollback()
        self.locked = {which: who for which, who in self.locked.items() if who != writer}

    # --- Relays

    @rule(chunk=st.integers(1, 4))
    def advance(self, chunk: int) -> None:
        self.run(relay.advance(self.worker, chunk))
        self.arrivals.take()

    @rule()
    def another_relay_looks(self) -> None:
        self.seen += self.run(relay.windows(self.worker))

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), chunk=st.integers(1, 4))
    def it_acts_on_what_it_saw(self, data: st.DataObject, chunk: int) -> None:
        window = self.seen.pop(data.draw(st.integers(0, len(self.seen) - 1)))
        if window.seq is not None:
            self.run(relay.fan_out(self.worker, window, chunk))
            self.arrivals.take()

    @precondition(lambda self: self.seen)
    @rule()
    def it_joins_what_it_saw(self) -> None:
        seen = {window.place: window for window in self.seen}
        self.run(relay.join(self.worker, list(seen.values())))

    @rule()
    def remove_places(self) -> None:
        self.database.execute(UPKEEP["remove_places"])

    # --- Operations: at once, or with a transaction that stays open

    @rule(name=st.sampled_from(NAMES))
    def pause(self, name: str) -> None:
        if name != self.holder:
            operations.pause(name, reason="a schedule")

    @rule(name=st.sampled_from(NAMES))
    def resume(self, name: str) -> None:
        if name != self.holder:
            operations.resume(name)

    @rule(name=st.sampled_from(NAMES), back=st.integers(0, 6))
    def rewind(self, name: str, back: int) -> None:
        if name == self.holder:
            return
        newest = "SELECT min(at) FROM (SELECT at FROM lockstep_change ORDER BY seq DESC LIMIT %s) AS newest"
        ((since,),) = self.database.execute(newest, [back]).fetchall()
        if since and operations.rewind(name, since=since):
            place = "SELECT window_seq FROM lockstep_place p JOIN lockstep_subscription s ON s.place_id = p.id"
            ((first,),) = self.database.execute(f"{place} WHERE name = %s", [name]).fetchall()
            self.arrivals.forget(name, first)
            self.since[name] = min(self.since[name], first)

    @rule(name=st.sampled_from(NAMES))
    def subscribe_anew(self, name: str) -> None:
        if name != self.holder:
            operations.unsubscribe(name)
            self.subscribe(name)

    def subscribe(self, name: str) -> None:
        """From now on, but for what is being written."""
        ((seq,),) = self.database.execute("SELECT coalesce(max(seq), 0) FROM lockstep_change").fetchall()
        follows = ["blog.article.*"] if name in FOLLOWERS else ["blog.note.*"]
        operations.subscribe(subscriber(name), follows=follows)
        self.arrivals.seqs[name] = []
        known = "SELECT seq FROM lockstep_change"
        self.known = getattr(self, "known", {}) | {name: {seq for (seq,) in self.database.execute(known).fetchall()}}
        self.since[name] = seq + 1

    @precondition(lambda self: not self.holder)
    @rule(name=st.sampled_from(NAMES))
    def an_operation_begins(self, name: str) -> None:
        self.holder = name
        for statement in ("lock", "leave_place", "pause"):
            parameters = {"subscription": name, "reason": "a long operation"}
            self.held.execute(OPERATIONS[statement], parameters)

    @precondition(lambda self: self.holder)
    @rule(kept=st.booleans())
    def it_ends(self, kept: bool) -> None:
        self.held.commit() if kept else self.held.rollback()
        self.holder = ""

    def teardown(self) -> None:
        """Everybody comes to an end; then each subscription has got what it follows, and all stand at one place."""
        self.held.rollback()
        self.holder = ""
        for n in range(WRITERS):
            self.end(n, kept=True)
        for name in NAMES:
            operations.resume(name)
        while self.run(relay.advance(self.worker)).moved:
            self.arrivals.take()
        self.run(relay.advance(self.worker))
        log = [seq for (seq,) in self.database.execute("SELECT seq FROM lockstep_change ORDER BY seq").fetchall()]
        for name in FOLLOWERS:
            due = [seq for seq in log if seq not in self.known[name] or seq >= self.since[name]]
            assert sorted(self.arrivals.seqs[name]) == due, f"{name} got something else"
        assert not any(self.arrivals.seqs[name] for name in OTHERS)
        standing = self.database.execute("SELECT count(DISTINCT place_id) FROM lockstep_subscription").fetchone()
        assert standing == (1,), "not all share a place"


@pytest.fixture
def machine(steps: Steps, database: psycopg.Connection[Any]) -> Iterator[type[Schedules]]:
    """The machine with its connections, which all schedules share."""
    posts = [insert_article(database, f"{n}") for n in range(POSTS)]
    loop = asyncio.new_event_loop()
    worker = loop.run_until_complete(psycopg.AsyncConnection.connect(database_url(), autocommit=True))
    writers = [psycopg.connect(database_url()) for _ in range(WRITERS)]
    held = psycopg.connect(database_url())
    attributes = {"database": database, "loop": loop, "worker": worker, "writers": writers, "held": held}
    yield type("Schedules", (Schedules,), attributes | {"posts": posts})
    loop.run_until_complete(worker.close())
    loop.close()
    for connection in (*writers, held):
        connection.close()


def test_places(machine: type[Schedules]):
    run_machine(machine, SCHEDULES // 6)


@pytest.mark.faults
@pytest.mark.timeout(7_200)
def test_places_in_thousands_of_schedules(machine: type[Schedules]):
    run_machine(machine, 3_000)


@dataclass
class Collision:
    """Work on threads of its own, until `ended`."""

    ended: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, work: Callable[[random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        self.threads.append(threading.Thread(target=self._play, args=[work, chance]))
        self.threads[-1].start()

    def _play(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            while not self.ended.is_set():
                work(chance)
        except BaseException as failure:
            self.failures.append(failure)
        finally:
            connections.close_all()

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures

    def relay(self, chance: random.Random) -> None:
        async def advance() -> None:
            async with open_pool(1, FOR_RELAY) as pool:
                async with pool.connection() as connection:
                    while not self.ended.is_set():
                        await relay.advance(connection, chance.choice([1, 3, 100]))
                await housekeeping.remove_places(pool)

        asyncio.run(advance())

    def operate(self, chance: random.Random) -> None:
        name = chance.choice([*FOLLOWERS, "e"])
        operations.pause(name, reason="a collision")
        operations.resume(name)


@pytest.mark.parametrize("writes", [150, pytest.param(5_000, marks=[pytest.mark.faults, pytest.mark.timeout(600)])])
def test_relays_and_operations_that_run_into_each_other(database: psycopg.Connection[Any], writes: int):
    database.execute("DELETE FROM lockstep_subscription")
    operations.subscribe(subscriber("e"), follows=["blog.note.*"])
    for name in FOLLOWERS:
        operations.subscribe(subscriber(name), follows=["blog.article.*"])
    post = insert_article(database, "0")
    collision = Collision()
    for seed, work in enumerate([collision.relay, collision.relay, collision.operate, collision.operate]):
        collision.start(work, seed)
    for n in range(writes):
        rename_article(database, post, f"{n + 1}")
    collision.end()
    with closing(Steps(database_url())) as steps:
        while steps.behind():
            steps.fan_out()
    rows = database.execute(f"{PLACE} ORDER BY 1, 2").fetchall()
    log = [seq for (seq,) in database.execute("SELECT seq FROM lockstep_change ORDER BY seq").fetchall()]
    assert rows == [(name, seq) for name in FOLLOWERS for seq in log]
