"""Operations, in any order with writers, relays, couriers and upkeep, against a model (operations_model.py).

hypothesis chooses who takes the next step (stage.py), what the remotes answer, and who dies. What it draws depends on
nothing that happens: what makes no sense at the moment does nothing. MACHINE_SCHEDULES is how many schedules the long
form has, MACHINE_SEED repeats one that it printed, MACHINE_TELLS says how often what was seen.

The parts of a schedule: operations_schedule.py (workers and steps), operations_commands.py (operators, owners, upkeep),
operations_ending.py (what must hold at the end).
"""

import logging
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from faults.operations_commands import OPERATIONS
from faults.operations_ending import Ending
from faults.operations_model import MODEL, Written
from faults.operations_schedule import ANSWERS, CHUNK, EVENT, NAMES, OLD, OLD_WEEK, STATE, pick
from faults.stage import NAMES as STATEMENTS
from faults.stage import Stage
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test
from kit.log import without_triggers
from kit.servers import database_url, superuser_url
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from lockstep.delivery import partitions

SCHEDULES = int(os.environ.get("MACHINE_SCHEDULES", "2000"))
SHORT = int(os.environ.get("LOCKSTEP_SCHEDULES", "12"))
STEPS = 50
BEGINNINGS = ("empty", "behind", "in part", "in part", "letters", "letters")
AT_FIRST = ("", "", "", "replay letters", "replay span", "redeliver", "rewind", "pause")
BEGUN = ("relay", "relay", "relay", "claim", "settle", "resume_drained", "retention")
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
    "settle": [
        "lanes.lock_claimed",
        "lanes.remove_delivered",
        "lanes.release_pending",
        "lanes.dead_letter",
        "commit",
        "lanes.release_unreachable",
    ],
    "resume_drained": ["upkeep.resume_drained"],
    "retention": ["upkeep.keep_needs", "upkeep.needed_by", "another", "commit"],
}
few = st.integers(0, 1000)


class Operations(Ending):
    """The rules: who may do what next."""

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
            "create": "INSERT INTO blog_article (title, body, secret) VALUES (%(title)s, '', '') RETURNING id::text",
            "update": "UPDATE blog_article SET title = %(title)s WHERE id = %(id)s RETURNING id::text",
            "delete": "DELETE FROM blog_article WHERE id = %(id)s RETURNING id::text",
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
            "SELECT seq, at, object_id, kind, after ->> 'title', origin FROM lockstep_change "
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
            "INSERT INTO lockstep_change (model, object_id, kind, after, at) "
            f"VALUES ('{MODEL}', %s, 'created', %s, '{OLD}') RETURNING seq, at",
            [f"old {self.titles}", f'{{"title": "title {self.titles}"}}'],
        )
        self.model.committed([Written(*row[0], f"old {self.titles}", "created", f"title {self.titles}", None)])

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

    @rule(worker=st.integers(0, 1), steps=st.integers(0, 5))
    def relay(self, worker: int, steps: int) -> None:
        self._go(steps, self._relay, worker)

    @rule(worker=st.integers(0, 1), n=few, at_once=st.sampled_from([True, True, False]))
    def claim(self, worker: int, n: int, at_once: bool) -> None:
        due = self._due()
        if due and self._free(f"courier {worker} {pick(due, n)}"):
            self._go(5 if at_once else 0, self._claim, worker, pick(due, n))

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

    @rule(n=few, answer=st.sampled_from(["200", "200", "200", *ANSWERS]), settles=st.booleans())
    def answer(self, n: int, answer: str, settles: bool) -> None:
        if not self.waiting:
            return
        sent, answered, worker = self.waiting.pop(n % len(self.waiting))
        self._answer(sent, answered, answer)
        self.stage.run(self.stage.breathe())
        if settles and self._free(f"courier {worker} {sent.subscription}"):
            self._at_once(self._settle, worker, sent.subscription)

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

    @rule(what=st.sampled_from(OPERATIONS), n=few, m=few, steps=st.integers(0, 5))
    def operate(self, what: str, n: int, m: int, steps: int) -> None:
        """An operator begins something; 5 is to its end."""
        self._go(steps, self._operation, what, n, m)

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

    @rule(worker=st.integers(0, 1), n=few, kind=st.sampled_from(["event", "state"]), steps=st.integers(0, 5))
    def start(self, worker: int, n: int, kind: str, steps: int) -> None:
        """A worker starts, whose code says what a subscription is."""
        self._go(steps, self._declare_by_worker, worker, pick((EVENT, STATE), n), kind)

    @rule(what=st.sampled_from(["resume_drained", "remove_places", "retention"]), steps=st.integers(0, 5))
    def upkeep(self, what: str, steps: int) -> None:
        self._go(steps, self._upkeep, what)

    @invariant()
    def an_operators_word_stands(self) -> None:
        if not self.acted:
            return
        self.acted = False
        rows = self._ask("SELECT name, kind, state, paused IS NOT NULL FROM lockstep_subscription")
        for name, kind, state, paused in rows:
            known = self.model.subscriptions.get(name)
            if known is None:
                continue
            self.seen[f"seen {state}"] += 1
            expected = ("disabled",) if known.disabled else ("paused",) if known.paused else ("active", "full")
            assert state in expected, f"{name} is {state}, and was said to be {expected}"
            assert paused == known.paused, f"{name} is paused: {paused}, and was said to be: {known.paused}"
            assert kind == known.kind, f"{name} is of kind {kind}, and was declared to be {known.kind}"

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


@pytest.fixture
def machine(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Operations]]:
    logging.disable(logging.CRITICAL)  # thousands of schedules have thousands of lines to tell
    monkeypatch.setattr(partitions, "SHORT_LOCK", "SET LOCAL lock_timeout = '5ms'")
    nobody: Any = None
    with session_settings(deadlock_timeout="20ms", synchronous_commit="off"):
        stage = Stage(database_url(), nobody, nobody)
        eye, *writers = [psycopg.connect(database_url(), autocommit=True) for _ in range(3)]
        attributes = {"stage": stage, "eye": eye, "writers": writers, "seen": Counter()}
        with without_triggers(eye, "lockstep_change"):  # a schedule begins with an empty log
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


def test_each_stop_is_at_a_statement_that_there_is():
    """Renamed statements were stops that nobody came to."""
    stops = {stop for several in STOPS.values() for stop in several}
    assert stops - {"commit", "another"} <= set(STATEMENTS.values())


def test_operations(machine: type[Operations]):
    run(machine, SHORT, derandomize=True)


@pytest.mark.faults
@pytest.mark.timeout(36_000)
def test_operations_at_length(machine: type[Operations]):
    chosen = int(os.environ.get("MACHINE_SEED", random.SystemRandom().randrange(2**32)))
    print(f"MACHINE_SEED={chosen}")  # noqa: T201 - to repeat it by
    run(seed(chosen)(machine), SCHEDULES, derandomize=False)
