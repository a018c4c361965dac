"""Operations, in any order with writers, relays, couriers and upkeep, against a model (operations_model.py).

hypothesis chooses who takes the next step (stage.py), what the remotes answer, and who dies. What it draws depends on
nothing that happens: what makes no sense at the moment does nothing. MACHINE_SCHEDULES is how
many schedules the long form has, MACHINE_SEED repeats one that it printed.
"""

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from conftest import database_url
from lockstep.delivery import audit, housekeeping, operations, partitions, relay
from lockstep.delivery.courier import Courier
from lockstep.delivery.database import FOR_HANDLERS, FOR_LANES, FOR_RELAY, Pools
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.errors import NotYet, Refused, TimedOut, TryAgain, Unreachable
from lockstep.delivery.operations import Selection
from lockstep.delivery.subscriptions import Skipped, Subscriber
from lockstep.posts.models import Post
from tests.faults.operations_model import MODEL, Model, Sent, Written
from tests.faults.stage import Actor, Pool, Stage
from tests.support import superuser_url, without_triggers

SCHEDULES = int(os.environ.get("MACHINE_SCHEDULES", "2000"))
SHORT = int(os.environ.get("LOCKSTEP_SCHEDULES", "45"))
STEPS = 50
CHUNK = 2
OLD = "2020-01-08 12:00:00+00"
OLD_WEEK = "changes_change_20200106"
EVENT, STATE, ENDPOINT, OTHER = "first", "second", "webhook:00000000-0000-0000-0000-000000000007", "other"
NAMES = (EVENT, STATE, ENDPOINT)
CAP = 2
AUDITED = 8  # each so manyth schedule ends with an audit, which reads a lot
EMPTIED = [
    "delivery_delivery",
    "delivery_lane",
    "delivery_deadletter",
    "delivery_attempt",
    "delivery_subscription",
    "delivery_place",
    "posts_post",
    "changes_change",  # whose triggers are off meanwhile
]
SUBSCRIPTIONS = ((EVENT, "event", 1_000_000), (STATE, "state", 1_000_000), (ENDPOINT, "event", CAP))
MADE = [
    f"INSERT INTO delivery_subscription (name, kind, follows, skip_origin, cap, keeps_log) "
    f"VALUES ('{name}', '{kind}', '{{{MODEL}.*}}', 'echo', {cap}, {name != ENDPOINT})"
    for name, kind, cap in SUBSCRIPTIONS
]
MADE_OTHER = f"""
    INSERT INTO delivery_subscription (name, kind, follows, place_id)
    SELECT '{OTHER}', 'event', '{{shop.product.*}}', place_id FROM delivery_subscription WHERE name = '{EVENT}'"""
BEGIN = ";".join([*(f"DELETE FROM {table}" for table in EMPTIED), *MADE, MADE_OTHER])
MAKE_OLD_WEEK = f"""
    CREATE TABLE {OLD_WEEK} PARTITION OF changes_change
    FOR VALUES FROM ('2020-01-06 00:00+00') TO ('2020-01-13 00:00+00')"""
EXPECTED = (operations.WrongState, operations.UnknownSubscription, operations.UnknownMessage, operations.NotInLog)
BEGINNINGS = ("empty", "behind", "in part", "in part", "letters", "letters")
OPERATIONS = (
    *("pause", "pause", "resume", "resume", "rewind", "rewind", "declare", "declare", "redeliver", "redeliver"),
    *("replay letters", "replay letters", "replay letters", "discard letters", "replay span", "replay span"),
    *("switch", "switch", "follow", "follow", "remove"),
)
OF_OWNERS = ("switch", "follow", "remove")

AT_FIRST = ("", "", "", "replay letters", "replay span", "redeliver", "rewind", "pause")
BEGUN = ("relay", "relay", "relay", "claim", "settle", "relieve", "retention")
STOPS = {
    "relay": [
        "relay.join",
        "relay.fan_out",
        "relay.fan_out",
        "relay.note_count",
        "relay.note_count",
        "relay.fill",
        "relay.part",
    ],
    "claim": ["lanes.heads", "lanes.claim"],
    "settle": ["lanes.lock_claimed", "lanes.remove_delivered", "lanes.free", "lanes.bury", "commit", "lanes.wake"],
    "relieve": ["upkeep.relieve"],
    "retention": ["upkeep.keep_needs", "upkeep.needed_by", "another", "commit"],
}
ANSWERS: dict[str, Callable[[], Exception | Skipped | None]] = {
    "200": lambda: None,
    "503": lambda: TryAgain("503"),
    "400": lambda: Refused("400"),
    "unreachable": lambda: Unreachable("nobody is there"),
    "late": lambda: TimedOut("no answer"),
    "not yet": lambda: NotYet("something else first"),
    "passed over": lambda: Skipped("not for you"),
}
END_LEASES = """
    UPDATE delivery_lane SET next_at = now() - interval '1 s' WHERE id IN (
        SELECT id FROM delivery_lane WHERE (id, token) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))
        AND failure IS NULL FOR UPDATE SKIP LOCKED)
    RETURNING id"""
# In whose lanes something waits for a worker, whether something failed, and whether somebody is full.
LEFT = """
    SELECT ARRAY(SELECT DISTINCT subscription_id FROM delivery_lane
                 WHERE next_at <= now() OR failure IS NOT NULL ORDER BY subscription_id),
           EXISTS (SELECT FROM delivery_lane WHERE failure IS NOT NULL),
           EXISTS (SELECT FROM delivery_subscription WHERE state = 'full')"""
few = st.integers(0, 1000)


def pick(things: Any, number: int) -> Any:
    return things[number % len(things)]


class Operations(RuleBasedStateMachine):
    """One schedule."""

    stage: Stage
    writers: list[psycopg.Connection]
    eye: psycopg.Connection
    seen: Counter[str]  # how often what happened, over all schedules

    def __init__(self) -> None:
        super().__init__()
        self.seen["schedules"] += 1
        self.model = Model()
        self.stage.before, self.stage.after = self._before, self._after
        self.epochs = Epochs(UUID(int=7))
        self.couriers: dict[tuple[int, str], Courier] = {}
        self.waiting: list[tuple[Sent, asyncio.Future[Any], int]] = []  # for an answer; by which worker
        self.by_claim: dict[int, Sent] = {}
        self.open: list[list[Written] | None] = [None, None]  # what each writer has not committed
        self.held: dict[str, int] = {}  # objects that an open transaction has written
        self.alive: dict[str, str] = {}
        self.titles = 0
        self.idle_lanes: set[int] = set()
        self.orphans: dict[int, int] = {}  # lanes of claims that were cut short, with their tokens
        self._empty()
        for name, kind, cap in SUBSCRIPTIONS:
            self.model.subscribed(
                name, self.model.tick(), kind=kind, follows=[f"{MODEL}.*"], skip_origin="echo", cap=cap
            )
        self.settled_down = False
        self.acted = True  # since the states were looked at

    # What is there before

    def _empty(self) -> None:
        self._ask(BEGIN)
        if self._one("SELECT to_regclass(%s) IS NULL", OLD_WEEK):
            self._ask(MAKE_OLD_WEEK)

    def _subscriber(self, name: str, kind: str | None = None) -> Subscriber:
        """By the code of a worker: what its kind is, the row says."""
        cap = CAP if name == ENDPOINT else 1_000_000
        own = kind or ("state" if name == STATE else "event")
        return Subscriber(name, own, (MODEL,), connect=lambda pool: None, skip_origin="echo", cap=cap, deadline=900.0)  # type: ignore[arg-type,return-value]

    def _ask(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        cursor = self.eye.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []

    def _one(self, statement: str, *parameters: Any) -> Any:
        return self._ask(statement, list(parameters))[0][0]

    # What the stage tells of its actors

    def _before(self, actor: Actor, name: str) -> None:
        actor.notes["moment"] = self.model.tick()

    def _after(self, actor: Actor, name: str, parameters: Any, rows: list[tuple[Any, ...]]) -> None:
        if name == "lanes.claim":
            actor.notes["claimed"] = actor.notes["moment"]
            actor.notes["taken"] = {lane: token for lane, token, *_ in rows}
            self.model.began_claim(parameters["subscription"], actor.notes["moment"], len(rows))
        elif name == "lanes.heads":
            idle = actor.notes["taken"].keys() - {row[0] for row in rows}
            if again := idle & self.idle_lanes:
                self.model.violated(f"lanes {again} were claimed twice, and there was nothing in them")
            self.idle_lanes |= idle
        elif name == "another" and actor.name == "retention":
            actor.is_free = True  # it is about to drop a week, and writers wait for that: it stops nowhere any more
        elif name == "deadlock":
            self.model.violated(f"{actor.name} is in a deadlock, before {parameters}")
        elif name == "lanes.lock_claimed":
            actor.notes["held"] = set(rows)
        elif name == "commit":
            self._note_settled(actor)

    def _note_settled(self, actor: Actor) -> None:
        outcomes = actor.notes.pop("outcomes", ())
        if any(outcome.error and outcome.delay is not None for outcome in outcomes):
            self._time_stands_still()
        for outcome in outcomes:
            sent = self.by_claim[id(outcome.claim)]
            self.seen[
                "settled" if (outcome.claim.lane, outcome.claim.token) in actor.notes["held"] else "settled too late"
            ] += 1
            self.model.settled(
                sent, accepted=(outcome.claim.lane, outcome.claim.token) in actor.notes["held"], outcome=outcome
            )

    def _step(self, actor: Actor) -> None:
        is_fan_out = actor.at == "relay.fan_out" and not actor.is_free
        written = self._row_of_other() if is_fan_out else None
        at = actor.at
        self.stage.step(actor)
        if is_fan_out and self._row_of_other() != written:
            self.model.violated("a fan-out wrote the row of a subscription that follows nothing of it")
        self._note_step(actor, at or "")

    def _note_step(self, actor: Actor, at: str) -> None:
        self.acted = self.acted or not actor.name.startswith("courier")  # these change no state
        self.seen[f"{at}{', waits' if actor.is_blocked else ''}"] += 1
        if actor.error:
            self.seen[type(actor.error).__name__] += 1
        self._judge_errors(actor)

    def _at_once(self, begin: Callable[..., Actor | None], *arguments: Any) -> Actor | None:
        """It begins, and goes on to its end, but for the locks that it waits for."""
        with self.stage.at_once():
            actor = begin(*arguments)
        if actor:
            self._note_step(actor, f"all of {actor.name.split()[0]}")
        return actor

    def _row_of_other(self) -> Any:
        return self._ask("SELECT xmin::text, ctid::text FROM delivery_subscription WHERE name = %s", [OTHER])

    def _judge_errors(self, *actors: Actor) -> None:
        for actor in actors:
            if not actor.done or actor.was_killed or actor.error is None:
                continue
            if isinstance(actor.error, EXPECTED):
                continue
            self.model.violated(f"{actor.name} failed: {actor.error!r}")

    def _finish(self, actor: Actor) -> None:
        """Nobody comes between, but for those whose locks it waits for."""
        if not actor.done and not actor.is_blocked:
            actor.is_free = True
            self._step(actor)
            actor.is_free = False

    def _free(self, name: str) -> bool:
        return all(actor.name != name for actor in self.stage.actors)

    @initialize(
        begins=st.sampled_from(BEGINNINGS), objects=st.integers(2, 3), then=st.sampled_from(AT_FIRST), n=few, m=few
    )
    def begin(self, begins: str, objects: int, then: str, n: int, m: int) -> None:
        """With objects that are written, fanned out in part, or refused by everybody; an operator may have noticed."""
        if begins == "empty":
            return
        for _ in range(objects):
            self.write(0, "create", 0, "alone", "")
        self.write(0, "update", 0, "alone", "")
        if begins == "in part":
            self._relay_once(CHUNK)
        elif begins != "behind":
            self._relay_once()
        if begins in ("in part", "letters"):
            for name in NAMES:
                self._round(0, name, "400")
        if then:
            self._at_once(self._operation, then, n, m)

    # Writers

    @rule(
        number=st.integers(0, 1),
        what=st.sampled_from(["create", "update", "update", "update", "delete"]),
        n=few,
        how=st.sampled_from(["alone", "alone", "open", "open", "undone"]),
        origin=st.sampled_from(["", "", "", "echo"]),
    )
    def write(self, number: int, what: str, n: int, how: str, origin: str) -> None:
        """In a transaction that stays open, or alone; or to a savepoint that is rolled back."""
        mine = [each for each in self.alive if self.held.get(each, number) == number]
        if what != "create" and not mine:
            what = "create"
        object_id = pick(mine, n) if what != "create" else ""
        begins = ["BEGIN"] if self.open[number] is None else []
        self.open[number] = self.open[number] or []
        savepoint = ["SAVEPOINT before"] if how == "undone" else []
        self._write_on(number, "; ".join([*begins, f"SET LOCAL lockstep.origin = '{origin}'", *savepoint]))
        self.titles += 1
        title = f"title {self.titles}"
        statement = {
            "create": "INSERT INTO posts_post (title, body) VALUES (%(title)s, '') RETURNING id::text",
            "update": "UPDATE posts_post SET title = %(title)s WHERE id = %(id)s RETURNING id::text",
            "delete": "DELETE FROM posts_post WHERE id = %(id)s RETURNING id::text",
        }[what]
        ((object_id,),) = self._write_on(number, statement, {"title": title, "id": object_id})
        if how == "undone":
            self._write_on(number, "ROLLBACK TO before")
            return
        self.held[object_id] = number
        self.alive[object_id] = title
        if what == "delete":
            del self.alive[object_id]
        opened = self.open[number]
        assert opened is not None
        kind = {"create": "created", "update": "updated", "delete": "deleted"}[what]
        opened.append(Written(0, None, object_id, kind, title if what != "delete" else None, origin or None))
        if how == "alone":
            self.end(number, commits=True)

    def _write_on(self, number: int, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        cursor = self.writers[number].execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []

    @rule(number=st.integers(0, 1), commits=st.sampled_from([True, True, True, False]))
    def end(self, number: int, commits: bool) -> None:
        """Commits or rolls back what a writer has open."""
        expected = self.open[number]
        if expected is None:
            return
        found = self._write_on(
            number,
            "SELECT seq, at, object_id, kind, after ->> 'title', origin FROM changes_change "
            "WHERE xid = pg_current_xact_id() ORDER BY seq",
        )
        changes = [Written(*row) for row in found]
        if [row[2:] for row in found] != [(c.object_id, c.kind, c.title, c.origin) for c in expected]:
            self.model.violated(f"the log has {found} of a transaction that wrote {expected}")
        self._write_on(number, "COMMIT" if commits else "ROLLBACK")
        self.open[number] = None
        touched = [each for each, writer in self.held.items() if writer == number]
        for each in touched:
            del self.held[each]
        if commits:
            self.model.committed(changes)
            return
        for each in touched:
            self.alive.pop(each, None)
            states = [change for change in self.model.log if change.object_id == each]
            if states and states[-1].title is not None:
                self.alive[each] = states[-1].title

    @rule()
    def write_of_an_old_week(self) -> None:
        """A change of a week that is past retention."""
        if self._one("SELECT to_regclass(%s) IS NULL", OLD_WEEK):
            return
        self.titles += 1
        row = self._ask(
            "INSERT INTO changes_change (model, object_id, kind, after, at) "
            f"VALUES ('{MODEL}', %s, 'created', %s, '{OLD}') RETURNING seq, at",
            [f"old {self.titles}", f'{{"title": "title {self.titles}"}}'],
        )
        self.model.committed([Written(*row[0], f"old {self.titles}", "created", f"title {self.titles}", None)])

    # Everybody goes on

    @rule(n=few, steps=st.integers(1, 3))
    def go_on(self, n: int, steps: int) -> None:
        if not self.stage.actors:
            return
        actor = pick(self.stage.actors, n)
        for _ in range(steps):
            if not actor.done and not actor.is_blocked:
                self._step(actor)

    @rule(n=few)
    def finish(self, n: int) -> None:
        if self.stage.actors:
            self._finish(pick(self.stage.actors, n))

    # Relays

    @rule(worker=st.integers(0, 1), steps=st.integers(0, 5))
    def relay(self, worker: int, steps: int) -> None:
        self._go(steps, self._relay, worker)

    def _relay(self, worker: int, chunk: int = CHUNK) -> Actor | None:
        if not self._free(name := f"relay {worker}"):
            return None
        return self.stage.act(name, lambda connection: relay.advance(connection, chunk), FOR_RELAY)  # type: ignore[arg-type]

    # Couriers

    @rule(worker=st.integers(0, 1), n=few, at_once=st.sampled_from([True, True, False]))
    def claim(self, worker: int, n: int, at_once: bool) -> None:
        due = self._due()
        if due and self._free(f"courier {worker} {pick(due, n)}"):
            self._go(5 if at_once else 0, self._claim, worker, pick(due, n))

    def _due(self) -> list[str]:
        """In whose lanes something is due."""
        due = "SELECT DISTINCT subscription_id FROM delivery_lane WHERE next_at <= now() ORDER BY 1"
        return [name for (name,) in self._ask(due) if name in self.model.subscriptions]

    @rule(
        worker=st.integers(0, 1),
        n=few,
        answer=st.sampled_from(["200", "200", "400", "503", "unreachable"]),
        relays=st.booleans(),
    )
    def deliver(self, worker: int, n: int, answer: str, relays: bool) -> None:
        """A worker that nobody disturbs: what is written is fanned out, and what is due is sent and settled."""
        if relays:
            self._at_once(self._relay, worker)
        due = self._due()
        if due and self._free(f"courier {worker} {pick(due, n)}"):
            self._round(worker, pick(due, n), answer)

    def _round(self, worker: int, name: str, answer: str) -> None:
        self._at_once(self._claim, worker, name)
        if not self._free(f"courier {worker} {name}"):
            return
        mine = [each for each in self.waiting if each[2] == worker and each[0].subscription == name]
        self.waiting = [each for each in self.waiting if each not in mine]
        for sent, answered, _ in mine:
            self._answer(sent, answered, answer)
        if mine:
            self.stage.run(self.stage.breathe())
            self._at_once(self._settle, worker, name)

    def _claim(self, worker: int, name: str) -> Actor:
        courier = self.couriers.get((worker, name))
        if courier is None:
            kind = "state" if (name == STATE) != bool(worker) else "event"
            courier = self.couriers[worker, name] = Courier(self._subscriber(name, kind), None, self.epochs)  # type: ignore[arg-type]
            courier._silent = False
        courier._probed = -1e9  # some seconds have gone by
        here: list[Actor] = []

        async def deliver(lot: Any) -> Any:
            (claim,) = lot
            sent = self.by_claim[id(claim)] = self.model.sends(name, claim, here[0].notes["claimed"])
            answered: asyncio.Future[Any] = self.stage.loop.create_future()
            self.waiting.append((sent, answered, worker))
            return await answered

        async def work(connection: Any) -> None:
            courier.pools = Pools(Pool(connection), Pool(connection), Pool(connection))  # type: ignore[arg-type]
            await courier._claim(deliver)
            await self.stage.breathe()

        async def begun(connection: Any) -> None:
            here.append(connection._actor)
            await work(connection)

        return self.stage.act(f"courier {worker} {name}", begun, FOR_LANES)

    @rule(n=few, answer=st.sampled_from(["200", "200", "200", *ANSWERS]), settles=st.booleans())
    def answer(self, n: int, answer: str, settles: bool) -> None:
        if not self.waiting:
            return
        sent, answered, worker = self.waiting.pop(n % len(self.waiting))
        self._answer(sent, answered, answer)
        self.stage.run(self.stage.breathe())
        if settles and self._free(f"courier {worker} {sent.subscription}"):
            self._at_once(self._settle, worker, sent.subscription)

    def _answer(self, sent: Sent, answered: asyncio.Future[Any], answer: str) -> None:
        sent.answer = answer
        self.seen[f"answer {answer}"] += 1
        result = ANSWERS[answer]()
        if isinstance(result, Exception):
            answered.set_exception(result)
        else:
            answered.set_result(result)

    @rule(n=few, is_refused=st.sampled_from([False, False, False, True]), at_once=st.booleans())
    def settle(self, n: int, is_refused: bool, at_once: bool) -> None:
        ended = [key for key, courier in self.couriers.items() if courier._ended]
        if not ended or not self._free("courier {} {}".format(*pick(ended, n))):
            return
        worker, name = pick(ended, n)
        actor = self._settle(worker, name)
        if is_refused:
            actor.refuse = psycopg.OperationalError("no space left on device")
        if at_once:
            self._finish(actor)

    def _settle(self, worker: int, name: str) -> Actor:
        courier = self.couriers[worker, name]

        async def work(connection: Any) -> None:
            connection._actor.notes["outcomes"] = list(courier._ended)
            courier.pools = Pools(Pool(connection), Pool(connection), Pool(connection))  # type: ignore[arg-type]
            await courier._settle()

        return self.stage.act(f"courier {worker} {name}", work, FOR_LANES)

    @rule(
        what=st.sampled_from(["time", "time", "lease", "lease", "leases of the dead", "leases of the dead", "kill"]),
        n=few,
    )
    def trouble(self, what: str, n: int) -> None:
        """Time goes by, leases end, a worker dies."""
        if what == "time":
            self._time_goes_by()
        elif what == "lease":
            self._some_lease_ends(n)
        elif what == "leases of the dead":
            self._leases_of_the_dead_end()
        else:
            self._kill(n % 2)

    def _some_lease_ends(self, n: int) -> None:
        """Of a message that is on its way, or whose answer is not settled."""
        ended = [outcome.claim for courier in self.couriers.values() for outcome in courier._ended]
        if claims := [*(sent.claim for sent, _, _ in self.waiting), *ended]:
            self._lease_ends(pick(claims, n))

    def _lease_ends(self, claim: Any) -> None:
        if self._end_leases([(claim.lane, claim.token)]):
            self.by_claim[id(claim)].given_up = True

    def _end_leases(self, held: list[tuple[int, int]]) -> bool:
        lanes, tokens = [lane for lane, _ in held], [token for _, token in held]
        return bool(held and self._ask(END_LEASES, [lanes, tokens]))

    def _time_goes_by(self) -> None:
        """What waits after a failure is due."""
        self._ask(
            "UPDATE delivery_lane SET next_at = now() WHERE id IN (SELECT id FROM delivery_lane "
            "WHERE failure IS NOT NULL FOR UPDATE SKIP LOCKED)"
        )

    def _kill(self, worker: int) -> None:
        """A worker dies, wherever it stands: nothing of it goes on."""
        for actor in [each for each in self.stage.actors if each.name.split()[:2][-1] == str(worker)]:
            if actor in self.stage.actors and actor.task:
                self.orphans |= actor.notes.get("taken", {})
                self.stage.kill(actor)
        for sent in [sent for sent, _, by in self.waiting if by == worker]:
            sent.given_up = True
        for key in [key for key in self.couriers if key[0] == worker]:
            courier = self.couriers.pop(key)
            for outcome in courier._ended:
                self.by_claim[id(outcome.claim)].given_up = True
            for task in courier._in_flight:
                task.cancel()
        self.waiting = [each for each in self.waiting if each[2] != worker]
        self.stage.run(self.stage.breathe())

    def _leases_of_the_dead_end(self) -> None:
        dead = [each.claim for each in self.by_claim.values() if each.given_up and each.settled is None]
        self._end_leases([*((claim.lane, claim.token) for claim in dead), *self.orphans.items()])

    def _time_stands_still(self) -> None:
        """What waits after a failure is due when the schedule says so, and not because this machine is slow."""
        self._ask(
            "UPDATE delivery_lane SET next_at = now() + interval '1 h' WHERE id IN (SELECT id FROM delivery_lane "
            "WHERE failure IS NOT NULL AND next_at > now() FOR UPDATE SKIP LOCKED)"
        )

    # Operators

    @rule(what=st.sampled_from(OPERATIONS), n=few, m=few, steps=st.integers(0, 5))
    def operate(self, what: str, n: int, m: int, steps: int) -> None:
        """An operator begins something; 5 is to its end."""
        self._go(steps, self._operation, what, n, m)

    def _go(self, steps: int, begin: Callable[..., Actor | None], *arguments: Any) -> None:
        """So many steps; 5 are to its end."""
        if steps == 5:
            self._at_once(begin, *arguments)
        elif actor := begin(*arguments):
            for _ in range(steps):
                if not actor.done and not actor.is_blocked:
                    self._step(actor)

    @rule(
        first=st.sampled_from(BEGUN),
        worker=st.integers(0, 1),
        stop=few,
        writes=st.booleans(),
        what=st.sampled_from(OPERATIONS),
        n=few,
        m=few,
        stays=st.booleans(),
    )
    def operate_between(
        self, first: str, worker: int, stop: int, writes: bool, what: str, n: int, m: int, stays: bool
    ) -> None:
        """Something is under way, and an operator comes and goes."""
        if writes:
            self.write(n % 2, "update", n, "alone", "")
        actor = self._beginning(first, worker, n)
        if actor is None:
            return
        self._go_to(actor, pick(STOPS[first], stop))
        self._at_once(self._operation, what, n, m)
        if not stays:
            self._finish(actor)

    @rule(
        first=st.sampled_from(BEGUN),
        worker=st.integers(0, 1),
        stop=few,
        writes=st.booleans(),
        second=st.sampled_from(BEGUN),
        n=few,
        stays=st.booleans(),
    )
    def work_between(self, first: str, worker: int, stop: int, writes: bool, second: str, n: int, stays: bool) -> None:
        """Something is under way, and another worker comes and goes."""
        actor = self._beginning(first, worker, n)
        if actor is None:
            return
        self._go_to(actor, pick(STOPS[first], stop))
        if writes:
            self.write(n % 2, "update", n, "alone", "")
        self._at_once(self._beginning, second, 1 - worker, n)
        if not stays:
            self._finish(actor)

    @rule(
        what=st.sampled_from(OPERATIONS),
        n=few,
        m=few,
        steps=st.integers(1, 6),
        second=st.sampled_from(BEGUN),
        worker=st.integers(0, 1),
        stays=st.booleans(),
    )
    def work_while_it_is_open(
        self, what: str, n: int, m: int, steps: int, second: str, worker: int, stays: bool
    ) -> None:
        """An operator has not committed yet, and a worker does something."""
        operation = self._operation(what, n, m)
        if operation is None:
            return
        for _ in range(steps):
            if not operation.done and not operation.is_blocked and operation.at != "commit":
                self._step(operation)
        self._at_once(self._beginning, second, worker, n)
        if not stays:
            self._finish(operation)

    def _go_to(self, actor: Actor, stop: str) -> None:
        """Until it stands before that statement, if it comes there."""
        while not actor.done and not actor.is_blocked and actor.at != stop:
            self._step(actor)

    def _beginning(self, what: str, worker: int, n: int) -> Actor | None:
        if what == "relay":
            return self._relay(worker)
        if what == "claim":
            due = self._due()
            return self._claim(worker, pick(due, n)) if due and self._free(f"courier {worker} {pick(due, n)}") else None
        if what == "settle":
            ended = [key for key, courier in self.couriers.items() if courier._ended]
            ended = [key for key in ended if self._free(f"courier {key[0]} {key[1]}")]
            return self._settle(*pick(ended, n)) if ended else None
        return self._upkeep(what)

    def _operation(self, what: str, n: int, m: int) -> Actor | None:
        """An operator at the beginning of something; None where nobody is free, or it makes no sense."""
        if all(any(actor.notes.get("operator") == one for actor in self.stage.actors) for one in (0, 1)):
            return None
        name = pick((EVENT, STATE, ENDPOINT, ENDPOINT), n)
        since = None if m % 3 == 0 or not self.model.log else pick(self.model.log, m).at
        begin: dict[str, Callable[[], Actor | None]] = {
            "pause": lambda: self._pause(name),
            "resume": lambda: self._resume(name),
            "rewind": lambda: self._rewind(name, since),
            "replay letters": lambda: self._settle_letters(self._selection(name, m), discards=False),
            "discard letters": lambda: self._settle_letters(self._selection(name, m), discards=True),
            "replay span": lambda: self._replay_span(name, n, m) if self.model.log else None,
            "redeliver": lambda: self._redeliver(m),
            "declare": lambda: self._declare(pick((EVENT, STATE), n), pick(("event", "state"), m)),
        }
        if what in begin:
            return begin[what]()
        # Of an endpoint: its owner holds the endpoint's own row, so that there is one at a time.
        if any(actor.notes.get("of_owner") for actor in self.stage.actors):
            return None
        return self._switch() if what == "switch" else self._remove() if what == "remove" else self._follow(m)

    def _pause(self, name: str) -> Actor:
        work = lambda: operations.pause(name, reason="said so")  # noqa: E731
        return self._command("pause", name, work, lambda _: self.model.paused(name))

    def _resume(self, name: str) -> Actor:
        return self._command("resume", name, lambda: operations.resume(name), lambda _: self.model.resumed(name))

    def _command(self, what: str, name: str, work: Callable[[], Any], committed: Callable[[Actor], None]) -> Actor:
        operator = next(n for n in (0, 1) if all(actor.notes.get("operator") != n for actor in self.stage.actors))

        def finished(actor: Actor) -> None:
            self.seen[what] += 1
            if what == "follow" or name in self.model.subscriptions:
                committed(actor)

        notes = {"began": self.model.tick(), "of_owner": what in OF_OWNERS}
        return self.stage.operate(f"{what} {name}", operator, work, finished, notes)

    def _switch(self) -> Actor | None:
        known = self.model.subscriptions.get(ENDPOINT)
        if known is None:
            return None
        if known.disabled:
            enabled = lambda actor: self.model.enabled(ENDPOINT, actor.notes["began"])  # noqa: E731
            return self._command("switch", ENDPOINT, lambda: operations.enable(ENDPOINT), enabled)
        work = lambda: operations.disable(ENDPOINT, reason="off")  # noqa: E731
        return self._command("switch", ENDPOINT, work, lambda _: self.model.disabled(ENDPOINT))

    def _remove(self) -> Actor | None:
        if ENDPOINT not in self.model.subscriptions:
            return None
        work = lambda: operations.unsubscribe(ENDPOINT)  # noqa: E731
        return self._command("remove", ENDPOINT, work, lambda _: self.model.removed(ENDPOINT))

    def _follow(self, m: int) -> Actor:
        """An owner changes what the endpoint follows; or makes it again, where it was removed."""
        member, patterns = self._subscriber(ENDPOINT), [f"{MODEL}.{pick(('*', '*', 'created', 'updated'), m)}"]
        row: dict[str, Any] = {"follows": patterns}
        if ENDPOINT not in self.model.subscriptions:
            row |= {"kind": "event", "skip_origin": "echo", "cap": CAP}
        work = lambda: operations.subscribe(member, follows=patterns)  # noqa: E731
        return self._command(
            "follow", ENDPOINT, work, lambda a: self.model.subscribed(ENDPOINT, a.notes["began"], **row)
        )

    def _rewind(self, name: str, since: Any) -> Actor:
        def committed(actor: Actor) -> None:
            if actor.result:
                began, subscription = actor.notes["began"], self.model.subscriptions[name]
                before = [c for c in self._in_log() if c.committed < began and subscription.follows_change(c)]
                wanted = [c.seq for c in before if since is None or c.at >= since]
                self.model.asked_again(name, wanted, began, "rewind", may=[c.seq for c in self.model.log])

        return self._command("rewind", name, lambda: operations.rewind(name, since=since), committed)

    def _in_log(self) -> list[Written]:
        return [change for change in self.model.log if change.seq not in self.model.dropped]

    def _selection(self, name: str, m: int) -> Selection:
        found = self._letters(name)
        if found and m % 4 == 0:
            return Selection(name, letters=(pick(found, m // 4)[0],))
        if found and m % 4 == 1:
            return Selection(name, object_id=pick(found, m // 4)[2])
        return Selection(name)

    def _letters(self, name: str) -> list[tuple[Any, ...]]:
        """Those that are open."""
        statement = "SELECT id, seq, object_id FROM delivery_deadletter WHERE subscription_id = %s AND outcome IS NULL"
        return self._ask(f"{statement} ORDER BY seq, id", [name])

    def _settle_letters(self, selection: Selection, *, discards: bool) -> Actor:
        """Sends dead letters again, or gives them up. Those that it cannot send yet, the relay sends."""
        name = selection.subscription

        def work() -> None:
            if discards:
                operations.discard_letters(selection, reason="enough")
            else:
                operations.replay_letters(selection)

        def committed(actor: Actor) -> None:
            if not discards:
                chosen = {seq for _, _, _, seq, *_ in actor.notes["letters"]}
                in_log = {change.seq for change in self._in_log()}
                self.model.asked_again(name, in_log & chosen, actor.notes["began"], "replay")

        what = "discard letters" if discards else "replay letters"
        return self._command(what, name, work, committed)

    def _replay_span(self, name: str, n: int, m: int) -> Actor:
        first, last = sorted([pick(self.model.log, n // 3).at, pick(self.model.log, m).at])
        selection = Selection(name, since=first, until=last if m % 3 else None)

        def committed(actor: Actor) -> None:
            began, subscription = actor.notes["began"], self.model.subscriptions[name]
            wanted = [
                c for c in self._in_log() if c.committed < began and subscription.follows_change(c) and c.at >= first
            ]
            seqs = [c.seq for c in wanted if selection.until is None or c.at < selection.until]
            # What was committed while it began may be among them.
            also = [c.seq for c in self.model.log if c.at >= first and c.committed > began]
            self.model.asked_again(name, seqs, began, "replay", may=also)

        return self._command("replay span", name, lambda: operations.replay_span(selection), committed)

    def _redeliver(self, m: int) -> Actor | None:
        """One message again: a dead letter, or one that is kept among the attempts."""
        sent = [each for subscription in self.model.subscriptions.values() for each in subscription.sent]
        if not sent:
            return None
        one = pick(sent, m)
        name, message = one.subscription, one.claim.message_id

        def committed(actor: Actor) -> None:
            self.model.asked_again(name, [one.seq], actor.notes["began"], "replay")

        return self._command("redeliver", name, lambda: operations.replay_message(name, message), committed)

    def _declare(self, name: str, kind: str) -> Actor:
        """Another version of the code is installed: its `migrate` says what the subscription is."""
        row = self._subscriber(name, kind).row
        statement = operations.SQL["upkeep"]["declare_subscription"]
        return self._command(
            "declare",
            name,
            lambda: operations._run(statement, row),
            lambda a: self.model.subscribed(name, a.notes["began"], kind=kind),
        )

    @rule(worker=st.integers(0, 1), n=few, kind=st.sampled_from(["event", "state"]), steps=st.integers(0, 5))
    def start(self, worker: int, n: int, kind: str, steps: int) -> None:
        """A worker starts, whose code says what a subscription is."""
        self._go(steps, self._declare_by_worker, worker, pick((EVENT, STATE), n), kind)

    def _declare_by_worker(self, worker: int, name: str, kind: str) -> Actor | None:
        if not self._free(what := f"start {worker}"):
            return None
        subscriber = self._subscriber(name, kind)

        def declared(actor: Actor) -> None:
            self.model.declared_by_worker(name, actor.notes["moment"], kind)

        return self.stage.act(what, lambda c: relay.declare(c, subscriber), FOR_HANDLERS, declared)  # type: ignore[arg-type]

    # Upkeep

    @rule(what=st.sampled_from(["relieve", "remove_places", "retention"]), steps=st.integers(0, 5))
    def upkeep(self, what: str, steps: int) -> None:
        self._go(steps, self._upkeep, what)

    def _upkeep(self, what: str) -> Actor | None:
        if not self._free(what):
            return None
        tasks = {
            "relieve": housekeeping.relieve,
            "remove_places": housekeeping.remove_places,
            "retention": partitions.drop_old_partitions,
        }
        work = lambda connection: tasks[what](Pool(connection))  # type: ignore[operator]  # noqa: E731
        return self.stage.act(what, work, FOR_HANDLERS, self._note_dropped)

    def _note_dropped(self, actor: Actor) -> None:
        if actor.name == "retention" and actor.result:
            self.seen["weeks dropped"] += 1
            self.model.dropped |= {c.seq for c in self.model.log if c.object_id.startswith("old")}

    # What holds at each moment

    @invariant()
    def nothing_is_violated(self) -> None:
        assert not self.model.violations, "\n".join(self.model.violations)

    @invariant()
    def an_operators_word_stands(self) -> None:
        if not self.acted:
            return
        self.acted = False
        rows = self._ask("SELECT name, kind, state, paused IS NOT NULL FROM delivery_subscription")
        for name, kind, state, paused in rows:
            known = self.model.subscriptions.get(name)
            if known is None:
                continue
            self.seen[f"seen {state}"] += 1
            expected = ("disabled",) if known.disabled else ("paused",) if known.paused else ("active", "full")
            assert state in expected, f"{name} is {state}, and was said to be {expected}"
            assert paused == known.paused, f"{name} is paused: {paused}, and was said to be: {known.paused}"
            assert kind == known.kind, f"{name} is of kind {kind}, and was declared to be {known.kind}"

    # The end

    def teardown(self) -> None:
        try:
            if not self.model.violations and not self.settled_down:
                self.settled_down = True
                self._let_everything_run()
        finally:
            self.stage.clear()
            for number, opened in enumerate(self.open):
                if opened is not None:
                    self._write_on(number, "ROLLBACK")
            for courier in self.couriers.values():
                for task in courier._in_flight:
                    task.cancel()
            self.stage.run(self.stage.breathe())

    def _let_everything_run(self) -> None:
        for number in (0, 1):
            self.end(number, commits=True)
        self._end_all_actors()
        for sent, answered, _ in self.waiting:
            self._answer(sent, answered, "200")
        self.waiting.clear()
        self.stage.run(self.stage.breathe())
        for name in [name for name in NAMES if name in self.model.subscriptions]:
            if self.model.subscriptions[name].paused:
                self._finish_command("resume", name)
        self._drain()
        self._compare_sent()
        for name in [name for name in NAMES if name in self.model.subscriptions and self._letters(name)]:
            if not self.model.subscriptions[name].disabled:
                self._finish_command("replay letters", name)
        self._drain()
        self._compare()

    def _finish_command(self, what: str, name: str) -> None:
        self._at_once(self._operation, what, (EVENT, STATE, ENDPOINT).index(name), 3)

    def _end_all_actors(self) -> None:
        for _ in range(500):
            if not self.stage.actors:
                return
            free = [actor for actor in self.stage.actors if not actor.is_blocked]
            assert free, f"all wait for each other: {self.stage.actors}"
            self._step(free[0])
        raise AssertionError(f"they do not end: {self.stage.actors}")

    def _drain(self) -> None:
        """Until nothing is left to do; each round has a cause, and so there are only so many."""
        self._leases_of_the_dead_end()
        for _ in range(12 * len(self.model.log) + 40):
            moved = self._relay_once()
            for key in [key for key, courier in self.couriers.items() if courier._ended]:
                self._at_once(self._settle, *key)
                moved = True
            due, is_failing, is_full = self._ask(LEFT)[0]
            if is_failing:
                self._time_goes_by()
            for name in [name for name in due if name in self.model.subscriptions]:
                self._round(0, name, "200")
                moved = True
            if is_full:
                self._at_once(self._upkeep, "relieve")
                moved = moved or self._one("SELECT NOT EXISTS (SELECT FROM delivery_subscription WHERE state = 'full')")
            self.nothing_is_violated()
            if not moved:
                return
        raise AssertionError("it does not come to an end")

    def _relay_once(self, chunk: int = 1000) -> bool:
        actor = self._at_once(self._relay, 0, chunk)
        return bool(actor and actor.result and actor.result.moved)

    def _compare_sent(self) -> None:
        for name, subscription in self.model.subscriptions.items():
            for debt in subscription.unpaid():
                gone = " and is not in the log any more" if debt.change.seq in self.model.dropped else ""
                self.model.violated(f"{name} was never sent {debt.change.seq}, {debt.why} at {debt.since}{gone}")
        self.nothing_is_violated()

    def _compare(self) -> None:
        self._compare_sent()
        for name, subscription in self.model.subscriptions.items():
            if subscription.disabled:
                continue
            letters = [letter for letter in self._letters(name) if letter[1] not in self.model.dropped]
            if letters:
                self.model.violated(f"{name}: everything is fanned out, and these letters stay open: {letters}")
        self._compare_queues()
        if self.seen["schedules"] % AUDITED == 0:
            self._audit()
        rows = dict(self._ask("SELECT id::text, title FROM posts_post"))
        latest = {c.object_id: c.title for c in self.model.log if not c.object_id.startswith("old")}
        if rows != {object_id: title for object_id, title in latest.items() if title is not None}:
            self.model.violated("rows and log differ")
        self.nothing_is_violated()

    def _audit(self) -> None:
        """What an operator would be told."""
        rows_and_log = audit._rows_and_log(Post)
        differing = [each for each in rows_and_log.differing if not each.startswith("old")]
        under_way = [each for each in operations.status() if each.state != "disabled" and each.behind + each.waiting]
        if differing or under_way:
            self.model.violated(f"the audit finds {differing} and {under_way}")

    def _compare_queues(self) -> None:
        left = self._ask(
            "SELECT lane.*, d.seq FROM delivery_lane lane LEFT JOIN delivery_delivery d ON d.lane_id = lane.id"
        )
        if left:
            self.model.violated(f"this waits, and nobody sends it: {left}")
        behind = self._ask(
            "SELECT s.name, c.seq FROM delivery_subscription s JOIN delivery_place place ON place.id = s.place_id "
            "CROSS JOIN LATERAL delivery_unplaced(place) AS c WHERE s.state <> 'disabled'"
        )
        if behind:
            self.model.violated(f"this is not fanned out, and nobody does it: {behind}")
        places = self._one("SELECT count(DISTINCT place_id) FROM delivery_subscription WHERE state = 'active'")
        if places != 1:
            self.model.violated(f"all are up to date, and stand at {places} places")


@pytest.fixture
def machine(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Operations]]:
    logging.disable(logging.CRITICAL)  # thousands of schedules have thousands of lines to tell
    monkeypatch.setattr(partitions, "SHORT_LOCK", "SET LOCAL lock_timeout = '5ms'")
    nobody: Any = None
    with session_settings(deadlock_timeout="20ms", synchronous_commit="off"):
        stage = Stage(database_url(), nobody, nobody)
        eye, *writers = [psycopg.connect(database_url(), autocommit=True) for _ in range(3)]
        attributes = {"stage": stage, "eye": eye, "writers": writers, "seen": Counter()}
        with without_triggers(eye, "changes_change"):  # a schedule begins with an empty log
            yield type("Operations", (Operations,), attributes)
            if "MACHINE_TELLS" in os.environ:
                print(dict(sorted(attributes["seen"].items())))  # noqa: T201 - whoever wants to know what it has seen
            logging.disable(logging.NOTSET)
            eye.execute(f"DROP TABLE IF EXISTS {OLD_WEEK}")
        for connection in (eye, *writers):
            connection.close()
        stage.close()


@contextmanager
def session_settings(**settings: str) -> Iterator[None]:
    """All that connect to the test database from now on have these, of which some are a superuser's to set."""
    if not (superuser := superuser_url(database_url())):
        pytest.skip("a superuser sets the time after which PostgreSQL looks for a deadlock")
    parts = conninfo_to_dict(database_url())
    role = sql.SQL("ALTER ROLE {} IN DATABASE {} ").format(
        sql.Identifier(str(parts["user"])), sql.Identifier(str(parts["dbname"]))
    )
    with psycopg.connect(superuser, autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(role + sql.SQL("SET {} = {}").format(sql.Identifier(name), value))
        yield
        connection.execute(role + sql.SQL("RESET ALL"))


def run(machine: type[Operations], schedules: int, *, derandomize: bool) -> None:
    options = settings(
        max_examples=schedules,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=derandomize,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if "LOCKSTEP_NO_SHRINK" in os.environ else [Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(machine, settings=options)


@pytest.mark.faults
def test_operations(machine: type[Operations]):
    run(machine, SHORT, derandomize=True)


@pytest.mark.faults
@pytest.mark.timeout(36_000)
def test_operations_at_length(machine: type[Operations]):
    chosen = int(os.environ.get("MACHINE_SEED", random.SystemRandom().randrange(2**32)))
    print(f"MACHINE_SEED={chosen}")  # noqa: T201 - to repeat it by
    run(seed(chosen)(machine), SCHEDULES, derandomize=False)
