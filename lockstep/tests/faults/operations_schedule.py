"""One schedule of operations: its beginning, its workers, and how its actors take steps on the stage (stage.py)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
from faults.operations_model import MODEL, Model, Sent, Written
from faults.stage import Actor, Pool, Stage
from hypothesis.stateful import RuleBasedStateMachine, invariant

from lockstep.delivery import operations, relay
from lockstep.delivery.courier import Courier
from lockstep.delivery.database import FOR_LANES, FOR_RELAY, Pools
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.errors import DependencyPending, Rejected, RetryLater, TimedOut, Unreachable
from lockstep.delivery.subscriptions import Skipped, Subscriber

CHUNK = 2
OLD = "2020-01-08 12:00:00+00"
OLD_WEEK = "lockstep_change_20200106"
EVENT, STATE, ENDPOINT, OTHER = "first", "second", "webhook:00000000-0000-0000-0000-000000000007", "other"
NAMES = (EVENT, STATE, ENDPOINT)
CAP = 2
EMPTIED = [
    "lockstep_delivery",
    "lockstep_lane",
    "lockstep_deadletter",
    "lockstep_attempt",
    "lockstep_subscription",
    "lockstep_place",
    "blog_article",
    "lockstep_change",  # whose triggers are off meanwhile
]
SUBSCRIPTIONS = ((EVENT, "event", 1_000_000), (STATE, "state", 1_000_000), (ENDPOINT, "event", CAP))
MADE = [
    f"INSERT INTO lockstep_subscription (name, kind, follows, skip_origin, cap, keeps_log) "
    f"VALUES ('{name}', '{kind}', '{{{MODEL}.*}}', 'echo', {cap}, {name != ENDPOINT})"
    for name, kind, cap in SUBSCRIPTIONS
]
MADE_OTHER = f"""
    INSERT INTO lockstep_subscription (name, kind, follows, place_id)
    SELECT '{OTHER}', 'event', '{{blog.note.*}}', place_id FROM lockstep_subscription WHERE name = '{EVENT}'"""
BEGIN = ";".join([*(f"DELETE FROM {table}" for table in EMPTIED), *MADE, MADE_OTHER])
MAKE_OLD_WEEK = f"""
    CREATE TABLE {OLD_WEEK} PARTITION OF lockstep_change
    FOR VALUES FROM ('2020-01-06 00:00+00') TO ('2020-01-13 00:00+00')"""
EXPECTED = (operations.WrongState, operations.UnknownSubscription, operations.UnknownMessage, operations.NotInLog)
ANSWERS: dict[str, Callable[[], Exception | Skipped | None]] = {
    "200": lambda: None,
    "503": lambda: RetryLater("503"),
    "400": lambda: Rejected("400"),
    "unreachable": lambda: Unreachable("nobody is there"),
    "late": lambda: TimedOut("no answer"),
    "not yet": lambda: DependencyPending("something else first"),
    "passed over": lambda: Skipped("not for you"),
}
END_LEASES = """
    UPDATE lockstep_lane SET next_at = now() - interval '1 s' WHERE id IN (
        SELECT id FROM lockstep_lane WHERE (id, token) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))
        AND failure IS NULL FOR UPDATE SKIP LOCKED)
    RETURNING id"""


def pick(things: Any, number: int) -> Any:
    return things[number % len(things)]


class Schedule(RuleBasedStateMachine):
    """What all parts of a schedule share."""

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

    def _holds(self, lane: int, token: int) -> bool:
        """Whether the claim is still the lane's. One that an operator took away leaves the lane to be claimed again."""
        return bool(self._one("SELECT EXISTS (SELECT FROM lockstep_lane WHERE id = %s AND token = %s)", lane, token))

    # What the stage tells of its actors

    def _before(self, actor: Actor, name: str) -> None:
        actor.notes["moment"] = self.model.tick()

    def _after(self, actor: Actor, name: str, parameters: Any, rows: list[tuple[Any, ...]]) -> None:
        if name == "lanes.claim":
            actor.notes["claimed"] = actor.notes["moment"]
            actor.notes["taken"] = {lane: token for lane, token, *_ in rows}
            self.model.began_claim(parameters["subscription"], actor.notes["moment"], len(rows))
        elif name == "lanes.heads":
            taken: dict[int, int] = actor.notes["taken"]
            idle = {lane for lane in taken.keys() - {row[0] for row in rows} if self._holds(lane, taken[lane])}
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

    # Steps

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

    def _row_of_other(self) -> Any:
        return self._ask("SELECT xmin::text, ctid::text FROM lockstep_subscription WHERE name = %s", [OTHER])

    def _judge_errors(self, *actors: Actor) -> None:
        for actor in actors:
            if not actor.done or actor.was_killed or actor.error is None:
                continue
            if isinstance(actor.error, EXPECTED):
                continue
            self.model.violated(f"{actor.name} failed: {actor.error!r}")

    def _at_once(self, begin: Callable[..., Actor | None], *arguments: Any) -> Actor | None:
        """It begins, and goes on to its end, but for the locks that it waits for."""
        with self.stage.at_once():
            actor = begin(*arguments)
        if actor:
            self._note_step(actor, f"all of {actor.name.split()[0]}")
        return actor

    def _finish(self, actor: Actor) -> None:
        """Nobody comes between, but for those whose locks it waits for."""
        if not actor.done and not actor.is_blocked:
            actor.is_free = True
            self._step(actor)
            actor.is_free = False

    def _go(self, steps: int, begin: Callable[..., Actor | None], *arguments: Any) -> None:
        """So many steps; 5 are to its end."""
        if steps == 5:
            self._at_once(begin, *arguments)
        elif actor := begin(*arguments):
            for _ in range(steps):
                if not actor.done and not actor.is_blocked:
                    self._step(actor)

    def _go_to(self, actor: Actor, stop: str) -> None:
        """Until it stands before that statement, if it comes there."""
        while not actor.done and not actor.is_blocked and actor.at != stop:
            self._step(actor)

    def _free(self, name: str) -> bool:
        return all(actor.name != name for actor in self.stage.actors)

    # Workers

    def _relay(self, worker: int, chunk: int = CHUNK) -> Actor | None:
        if not self._free(name := f"relay {worker}"):
            return None
        return self.stage.act(name, lambda connection: relay.advance(connection, chunk), FOR_RELAY)  # type: ignore[arg-type]

    def _due(self) -> list[str]:
        """In whose lanes something is due."""
        due = "SELECT DISTINCT subscription_id FROM lockstep_lane WHERE next_at <= now() ORDER BY 1"
        return [name for (name,) in self._ask(due) if name in self.model.subscriptions]

    def _claim(self, worker: int, name: str) -> Actor:
        courier = self.couriers.get((worker, name))
        if courier is None:
            kind = "state" if (name == STATE) != bool(worker) else "event"
            courier = self.couriers[worker, name] = Courier(self._subscriber(name, kind), None, self.epochs)  # type: ignore[arg-type]
            courier._unreachable = False
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

    def _answer(self, sent: Sent, answered: asyncio.Future[Any], answer: str) -> None:
        sent.answer = answer
        self.seen[f"answer {answer}"] += 1
        result = ANSWERS[answer]()
        if isinstance(result, Exception):
            answered.set_exception(result)
        else:
            answered.set_result(result)

    def _settle(self, worker: int, name: str) -> Actor:
        courier = self.couriers[worker, name]

        async def work(connection: Any) -> None:
            connection._actor.notes["outcomes"] = list(courier._ended)
            courier.pools = Pools(Pool(connection), Pool(connection), Pool(connection))  # type: ignore[arg-type]
            await courier._settle()

        return self.stage.act(f"courier {worker} {name}", work, FOR_LANES)

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

    # Time

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

    def _leases_of_the_dead_end(self) -> None:
        dead = [each.claim for each in self.by_claim.values() if each.given_up and each.settled is None]
        self._end_leases([*((claim.lane, claim.token) for claim in dead), *self.orphans.items()])

    def _time_goes_by(self) -> None:
        """What waits after a failure is due."""
        self._ask(
            "UPDATE lockstep_lane SET next_at = now() WHERE id IN (SELECT id FROM lockstep_lane "
            "WHERE failure IS NOT NULL FOR UPDATE SKIP LOCKED)"
        )

    def _time_stands_still(self) -> None:
        """What waits after a failure is due when the schedule says so, and not because this machine is slow."""
        self._ask(
            "UPDATE lockstep_lane SET next_at = now() + interval '1 h' WHERE id IN (SELECT id FROM lockstep_lane "
            "WHERE failure IS NOT NULL AND next_at > now() FOR UPDATE SKIP LOCKED)"
        )

    @invariant()
    def nothing_is_violated(self) -> None:
        assert not self.model.violations, "\n".join(self.model.violations)
