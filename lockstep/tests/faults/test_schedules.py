"""Random schedules of writers, relay and workers against a model: every interleaving that we can think of.

Each step is one statement or transaction of the real code on a real PostgreSQL; hypothesis chooses the order and
shrinks what fails. The model knows what was committed, in which order per object, and judges every arrival.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest
from faults.articles import subscriber
from faults.machines import run_machine
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from kit.servers import database_url

from lockstep.delivery import lanes, operations, relay
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.errors import DeliveryError, DependencyPending, Rejected, RetryLater
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.reports import ChangeFilter
from lockstep.delivery.subscriptions import Claim, Subscriber

T = TypeVar("T")

OBJECTS, WRITERS = 3, 3
EPOCHS = Epochs(UUID(int=7))
SCHEDULES = int(os.environ.get("LOCKSTEP_SCHEDULES", "40"))
ERRORS: list[DeliveryError] = [RetryLater("not now"), DependencyPending("wait"), Rejected("never")]


@dataclass
class Model:
    """What must be so: the changes that were committed, in the order of each object, and what has arrived."""

    committed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    arrived: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    messages: dict[UUID, str] = field(default_factory=dict)
    buried: set[str] = field(default_factory=set)

    def arrives(self, claim: Claim) -> None:
        """Judges an arrival: it was committed, its repeats are alike, and nothing before it is left out."""
        change = claim.change
        title = (change.after or {})["title"]
        order = self.committed[change.object_id]
        assert title in order, f"{title} was never committed"
        assert self.messages.setdefault(claim.message_id, title) == title, "one id for two changes"
        before = [earlier for earlier in order[: order.index(title)] if earlier not in self.buried]
        arrived = self.arrived[change.object_id]
        left_out = [earlier for earlier in before if earlier not in arrived]
        assert not left_out, f"{title} arrived before {left_out}"
        if title not in arrived:
            arrived.append(title)

    def judge(self) -> None:
        for key, order in self.committed.items():
            arrived = [title for title in self.arrived[key] if title not in self.buried]  # a replay comes when it comes
            assert arrived == [title for title in order if title in arrived]
            assert set(order) - self.buried <= set(self.arrived[key]), f"lost of {key}"


class Schedules(RuleBasedStateMachine):
    """One schedule."""

    database: psycopg.Connection[Any]
    loop: asyncio.AbstractEventLoop
    worker: psycopg.AsyncConnection[Any]
    writers: list[psycopg.Connection[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.who: Subscriber = subscriber()
        self.open: dict[int, list[tuple[str, str]]] = {}
        self.claims: list[Claim] = []
        self.leased: dict[int, int] = {}  # lane → token, of claims whose lease has not ended
        self.seen: list[relay.Window] = []  # by a relay that has not come to it yet
        self.versions = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        for writer in self.writers:
            writer.rollback()
        self.database.execute("TRUNCATE lockstep_lane, lockstep_delivery, lockstep_deadletter, lockstep_subscription")
        self.database.execute("UPDATE blog_article SET title = ''")  # the same title again would be no change
        self.run(relay.declare(self.worker, self.who))
        rows = self.database.execute("SELECT id::text FROM blog_article ORDER BY id LIMIT %s", [OBJECTS]).fetchall()
        self.keys = [key for (key,) in rows]
        for which in range(OBJECTS):  # something to claim from the beginning
            for _ in range(3):
                self.write(0, which)
        self.commit(0)
        self._fan_out()

    # --- Writers: up to three transactions open at once; an object that another one holds is left alone

    @rule(writer=st.integers(0, WRITERS - 1), which=st.integers(0, OBJECTS - 1))
    def write(self, writer: int, which: int) -> None:
        key = self.keys[which]
        holder = next((n for n, changes in self.open.items() if key in dict(changes)), writer)
        if holder != writer:
            return
        self.versions += 1
        title = f"v{self.versions}"
        self.writers[writer].execute("UPDATE blog_article SET title = %s WHERE id = %s", [title, key])
        self.open.setdefault(writer, []).append((key, title))

    @rule(writer=st.integers(0, WRITERS - 1))
    def commit(self, writer: int) -> None:
        self.writers[writer].commit()
        for key, title in self.open.pop(writer, []):
            self.model.committed[key].append(title)

    @rule(writer=st.integers(0, WRITERS - 1))
    def roll_back(self, writer: int) -> None:
        self.writers[writer].rollback()
        self.open.pop(writer, None)

    # --- The relay, in chunks of any size

    @rule(chunk=st.integers(1, 5))
    def fan_out(self, chunk: int) -> None:
        self._fan_out(chunk)

    @rule()
    def relay_looks(self) -> None:
        self.seen += [window for window in self.run(relay.windows(self.worker)) if window.seq is not None]

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), chunk=st.integers(1, 5))
    def relay_that_looked_long_ago(self, data: st.DataObject, chunk: int) -> None:
        window = self.seen.pop(data.draw(st.integers(0, len(self.seen) - 1)))
        self.run(relay.fan_out(self.worker, window, chunk))

    @rule()
    def relay_is_undone_by_a_crash(self) -> None:
        class Killed(Exception):
            pass

        async def die() -> None:
            async with self.worker.transaction():
                await self._relay(relay.CHUNK)
                raise Killed

        with suppress(Killed):
            self.run(die())

    async def _relay(self, chunk: int) -> bool:
        return (await relay.advance(self.worker, chunk)).moved

    def _fan_out(self, chunk: int = relay.CHUNK) -> bool:
        return self.run(self._relay(chunk))

    # --- Workers: a claim is held until it is settled, forgotten, or settled too late

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        self.claims += self._claim(limit)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        self._deliver(self._take(data))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), error=st.sampled_from(ERRORS))
    def fail(self, data: st.DataObject, error: DeliveryError) -> None:
        claim = self._take(data)
        if self._settle(claim, error) and Outcome(claim, error).delay is None:
            self.model.buried.add((claim.change.after or {})["title"])

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), heard=st.booleans())
    def worker_dies(self, data: st.DataObject, heard: bool) -> None:
        claim = self._take(data)
        if heard:
            self._arrive(claim)

    @rule()
    def leases_and_waits_end(self) -> None:
        self.database.execute("UPDATE lockstep_lane SET next_at = now() - make_interval(secs => id % 1000)")
        self.leased = {}

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def sleep_past_the_lease(self, data: st.DataObject) -> None:
        sleeper = self._take(data)
        self.leases_and_waits_end()
        self.claims += self._claim(100)
        self._deliver(sleeper)

    # --- Operators

    @rule()
    def pause(self) -> None:
        operations.pause(self.who.name, reason="a schedule")

    @rule()
    def resume(self) -> None:
        operations.resume(self.who.name)

    @rule()
    def replay_letters(self) -> None:
        operations.replay_letters(ChangeFilter(self.who.name))

    def _take(self, data: st.DataObject) -> Claim:
        return self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))

    def _claim(self, limit: int) -> list[Claim]:
        claims = self.run(lanes.claim(self.worker, self.who, limit, EPOCHS))
        for claim in claims:
            assert claim.lane not in self.leased, "two hold one lane"
            self.leased[claim.lane] = claim.token
        return claims

    def _holds(self, claim: Claim) -> bool:
        return self.leased.get(claim.lane) == claim.token

    def _arrive(self, claim: Claim) -> None:
        """A worker that slept past its lease sends what it had; only one that has not is judged for order."""
        if self._holds(claim):
            self.model.arrives(claim)

    def _deliver(self, claim: Claim) -> None:
        in_time = self._holds(claim)
        self._arrive(claim)
        if self._settle(claim) and not in_time:  # late, but nobody had taken the lane
            self.model.arrives(claim)

    def _settle(self, claim: Claim, error: DeliveryError | None = None) -> bool:
        """Whether the claim still held its lane; nobody else's lease ends by it."""
        held = bool(self.run(lanes.settle(self.worker, [Outcome(claim, error)])))
        if self._holds(claim):
            assert held, "a lease that had not ended was lost"
            del self.leased[claim.lane]
        else:
            assert not held or claim.lane not in self.leased, "a claim settled what another one holds"
        return held

    def teardown(self) -> None:
        """Everybody comes to an end, and then everything has arrived."""
        for n in range(WRITERS):
            self.commit(n)
        operations.resume(self.who.name)
        self.claims = []
        while self._step():
            pass
        self.model.judge()

    def _step(self) -> bool:
        self.leases_and_waits_end()
        moved = self._fan_out()
        claims = self._claim(100)
        for claim in claims:
            self._deliver(claim)
        return moved or bool(claims)


@pytest.fixture
def machine(steps: object, database: psycopg.Connection[Any]) -> Iterator[type[Schedules]]:
    """The machine with its connections, which all schedules share."""
    for n in range(OBJECTS):
        database.execute("INSERT INTO blog_article (title, body, secret) VALUES (%s, '', '')", [f"{n}"])
    loop = asyncio.new_event_loop()
    worker = loop.run_until_complete(psycopg.AsyncConnection.connect(database_url(), autocommit=True))
    writers = [psycopg.connect(database_url()) for _ in range(WRITERS)]
    attributes = {"database": database, "loop": loop, "worker": worker, "writers": writers}
    yield type("Schedules", (Schedules,), attributes)
    loop.run_until_complete(worker.close())
    loop.close()
    for writer in writers:
        writer.close()


def test_schedules(machine: type[Schedules]):
    run_machine(machine, SCHEDULES)


@pytest.mark.faults
@pytest.mark.timeout(7_200)
def test_ten_thousand_schedules(machine: type[Schedules]):
    run_machine(machine, 10_000)
