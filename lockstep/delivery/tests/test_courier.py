"""A worker from change to handler: order, isolation, retries, outages, deadlines, a database that goes away."""

import asyncio
import logging
import re
import sys
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from unittest.mock import MagicMock
from uuid import UUID

import psycopg
import pytest

import lockstep
from lockstep.delivery import courier as courier_module
from lockstep.delivery import subscriptions
from lockstep.delivery import worker as worker_module
from lockstep.delivery.counters import UNSETTLED
from lockstep.delivery.courier import Courier
from lockstep.delivery.errors import Interrupted, Rejected, RetryLater, TimedOut, Unreachable
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.subscriptions import Change, Claim, Handler, Pool, Skipped, Subscriber
from lockstep.delivery.tests.support import EPOCHS, POST, Steps, insert_post, rename_post, subscriber, waiting
from lockstep.delivery.waiting import Signal
from tests.support import BackgroundWorker, drained, eventually

pytestmark = pytest.mark.slow

CLAIM = Claim(1, 1, 1, UUID(int=1), Change(1, datetime(2026, 1, 1, tzinfo=UTC), POST, "1", "created", None, {}))


class Receiver:
    """A subscriber's handler that records its changes and fails as configured."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.messages: dict[str, list[UUID]] = defaultdict(list)
        self.errors: dict[str, list[BaseException]] = defaultdict(list)
        self.now: set[str] = set()
        self.overlaps: list[str] = []
        self.skipped: list[str] = []

    async def __call__(self, claim: Claim) -> Skipped | None:
        title = claim.change.after["title"]
        if title.startswith("skip"):
            self.skipped.append(title)
            return Skipped("not for this receiver")
        self.messages[title].append(claim.message_id)
        if claim.change.object_id in self.now:
            self.overlaps.append(claim.change.object_id)
        self.now.add(claim.change.object_id)
        try:
            await asyncio.sleep(0)
            if self.errors[title]:
                raise self.errors[title].pop(0)
        finally:
            self.now.discard(claim.change.object_id)
        self.got.append((claim.change.object_id, title))
        return None

    def titles(self, object_id: str) -> list[str]:
        return [title for post, title in self.got if post == object_id]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def start(steps: Steps, worker: BackgroundWorker, receiver: Receiver):
    """Starts a worker with one subscriber of these options, declared first."""

    def start(**options: object) -> None:
        who = subscriber(handler=receiver, **options)
        steps.declare(who)
        worker.subscribers = [who]
        worker.start()

    return start


def hurry(database: psycopg.Connection) -> None:
    """Makes every waiting lane due now, as if its time had come."""
    database.execute("UPDATE lockstep_lane SET next_at = now() WHERE failure IS NOT NULL")


def test_a_late_lane_is_found_by_a_full_scan(
    start, receiver: Receiver, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    """Its time is long before the one where the worker begins to look."""
    monkeypatch.setattr(worker_module, "FULL_SCAN_INTERVAL", 0.2)
    start()
    insert_post(database, "first")
    eventually(lambda: drained(database))
    with database.transaction():
        database.execute("ALTER TABLE lockstep_lane ALTER next_at SET DEFAULT now() - interval '1 hour'")
    try:
        insert_post(database, "late")
        eventually(lambda: drained(database))
    finally:
        database.execute("ALTER TABLE lockstep_lane ALTER next_at SET DEFAULT statement_timestamp()")
    assert [title for _, title in receiver.got] == ["first", "late"]


@pytest.mark.parametrize("objects", [2_000, pytest.param(10_000, marks=pytest.mark.faults)])
def test_one_failing_object_delays_none_of_thousands(
    start, receiver: Receiver, database: psycopg.Connection, objects: int
):
    start(concurrency=32)
    receiver.errors["666"] = [ValueError("poison") for _ in range(100)]
    database.execute("INSERT INTO posts_post (title, body) SELECT n, '' FROM generate_series(1, %s) AS n", [objects])
    eventually(lambda: len(receiver.got) == objects - 1, "all the others")
    eventually(
        lambda: database.execute("SELECT cause FROM lockstep_lane").fetchall() == [("RetryLater: ValueError: poison",)],
        "only the poison to wait",
    )
    receiver.errors.clear()
    hurry(database)
    eventually(lambda: drained(database))
    assert len({title for _, title in receiver.got}) == len(receiver.got) == objects


def test_changes_of_many_objects_arrive_in_order_per_object(start, receiver: Receiver, database: psycopg.Connection):
    start()
    posts = [insert_post(database, f"{n}-0") for n in range(10)]
    for round_ in range(1, 10):
        for n, post in enumerate(posts):
            rename_post(database, post, f"{n}-{round_}")
    eventually(lambda: drained(database))
    for n, post in enumerate(posts):
        assert receiver.titles(post) == [f"{n}-{round_}" for round_ in range(10)]
    assert receiver.overlaps == []


def test_a_failing_object_blocks_only_itself(start, receiver: Receiver, database: psycopg.Connection):
    receiver.errors["bad"] = [RetryLater("not now")] * 50
    start()
    bad = insert_post(database, "bad")
    rename_post(database, bad, "behind it")
    good = [insert_post(database, f"good {n}") for n in range(20)]
    eventually(lambda: len(receiver.got) == len(good))
    assert receiver.titles(bad) == []
    eventually(lambda: database.execute("SELECT count(*) FROM lockstep_lane").fetchone() == (1,))


def test_a_retry_carries_the_same_message_id(start, receiver: Receiver, database: psycopg.Connection):
    receiver.errors["a"] = [RetryLater("not now"), ValueError("a mistake in the handler")]
    start()
    insert_post(database, "a")
    for tries in (1, 2):
        eventually(lambda: len(receiver.messages["a"]) == tries)  # noqa: B023
        eventually(
            lambda: database.execute("SELECT FROM lockstep_lane WHERE failure IS NOT NULL").fetchone() is not None
        )
        hurry(database)
    eventually(lambda: drained(database))
    assert len(receiver.messages["a"]) == 3
    assert len(set(receiver.messages["a"])) == 1


def exits(change: Change) -> None:
    sys.exit(3)


def cancels(change: Change) -> None:
    raise asyncio.CancelledError


def stops(change: Change) -> None:
    next(iter([]))


async def exits_in_the_event_loop(change: Change) -> None:
    sys.exit(3)


async def cancels_in_the_event_loop(change: Change) -> None:
    raise asyncio.CancelledError


def exits_in_a_transaction(changes: list[Change]) -> None:
    sys.exit(3)


def objects_that_failed(caplog: pytest.LogCaptureFixture, what: str) -> list[str]:
    """The objects that the log names for failures of this function, in their order."""
    line = rf"^exits: {what} failed on (\S+ \S+) \(attempt 1, message "
    return re.findall(line, "\n".join(caplog.messages), re.MULTILINE)


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        (exits, "SystemExit: 3"),
        (cancels, "CancelledError: "),
        (stops, "RuntimeError: StopIteration"),
        (exits_in_the_event_loop, "SystemExit: 3"),
        (cancels_in_the_event_loop, "CancelledError: "),
        (exits_in_a_transaction, "SystemExit: 3"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_subscriber_that_exits_fails_and_the_worker_continues(
    steps: Steps,
    worker: BackgroundWorker,
    receiver: Receiver,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    function: Callable[..., object],
    cause: str,
):
    """It ended the worker, and each one that was started after it; no attempt was counted."""
    monkeypatch.setattr(subscriptions, "_registered", {})
    transactional = function is exits_in_a_transaction
    reported: list[str] = []

    def on_dead_letter(change: Change, cause: str) -> None:
        reported.append(cause)
        sys.exit(4)

    lockstep.subscriber(
        POST, name="exits", retry=[], deadline=3, transactional=transactional, on_dead_letter=on_dead_letter
    )(function)
    worker.subscribers = [*subscriptions.registered(), subscriber("other", handler=receiver)]
    for who in worker.subscribers:
        steps.declare(who)
    worker.start()
    posts = []
    for title in ("a", "b"):
        posts.append(insert_post(database, title))
        eventually(lambda: drained(database))
    assert [title for _, title in receiver.got] == ["a", "b"]
    letters = database.execute("SELECT attempts, cause FROM lockstep_deadletter").fetchall()
    assert letters == [(1, f"RetryLater: {cause}")] * 2
    failed = [f"posts.post {post}" for post in posts]
    for what in ("the subscriber", "on_dead_letter"):  # of the latter the line comes after the report
        eventually(lambda what=what: objects_that_failed(caplog, what) == failed)
    assert reported == [f"RetryLater: {cause}"] * 2


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()], ids=lambda error: type(error).__name__)
def test_a_resource_that_exits_when_it_is_opened_is_opened_again(
    steps: Steps,
    worker: BackgroundWorker,
    receiver: Receiver,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
):
    monkeypatch.setattr(worker_module, "RECOVERY_SECONDS", 0.05)
    errors = [error]

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        if errors:
            raise errors.pop()
        yield receiver

    worker.subscribers = [Subscriber(name="test", kind="event", models=(POST,), connect=connect)]
    steps.declare(worker.subscribers[0])
    worker.start()
    insert_post(database, "a")
    eventually(lambda: drained(database))
    assert [title for _, title in receiver.got] == ["a"]
    assert "the courier of test failed, starting it again" in caplog.messages


def test_the_worker_detects_lanes_that_are_due_again(
    start, receiver: Receiver, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    """The courier itself looks at nothing: the worker wakes it."""
    monkeypatch.setattr(courier_module, "PROBE_SECONDS", 3_600.0)
    receiver.errors["a"] = [RetryLater("not now")]
    start()
    insert_post(database, "a")
    eventually(lambda: database.execute("SELECT FROM lockstep_lane WHERE failure IS NOT NULL").fetchone() is not None)
    hurry(database)
    eventually(lambda: drained(database))


def test_a_delivery_is_settled_only_when_its_handler_is_done(
    steps: Steps, worker: BackgroundWorker, database: psycopg.Connection
):
    """Were it killed now, the delivery would still be there."""
    started: list[str] = []
    let_go = threading.Event()

    async def handler(claim: Claim) -> None:
        started.append(claim.change.after["title"])
        if claim.change.after["title"] == "slow":
            while not let_go.is_set():
                await asyncio.sleep(0.01)

    who = subscriber(handler=handler)
    steps.declare(who)
    worker.subscribers = [who]
    worker.start()
    slow = insert_post(database, "slow")
    try:
        eventually(lambda: started == ["slow"])
        insert_post(database, "quick")
        eventually(lambda: started == ["slow", "quick"])
        eventually(lambda: len(waiting(database)) == 1)
        assert waiting(database) == [(slow, "slow")]
    finally:
        let_go.set()
    eventually(lambda: drained(database))


def test_a_refused_change_is_a_dead_letter_and_the_next_one_arrives(
    start, receiver: Receiver, database: psycopg.Connection
):
    receiver.errors["bad"] = [Rejected("never")]
    start()
    post = insert_post(database, "bad")
    rename_post(database, post, "good")
    eventually(lambda: drained(database))
    assert receiver.titles(post) == ["good"]
    assert database.execute("SELECT cause, message_id FROM lockstep_deadletter").fetchall() == [
        ("Rejected: never", receiver.messages["bad"][0])
    ]


def test_a_rejection_after_the_lease_ended_is_not_reported_as_a_dead_letter(
    steps: Steps, worker: BackgroundWorker, database: psycopg.Connection
):
    """Another worker has the lane by then, and delivers."""
    attempts: list[int] = []
    reported: list[str] = []

    async def handler(claim: Claim) -> None:
        attempts.append(claim.token)
        if len(attempts) == 1:
            database.execute("UPDATE lockstep_lane SET token = token + 1, next_at = now()")
            raise Rejected("too late")

    async def on_dead_letter(change: Change, cause: str) -> None:
        reported.append(cause)

    who = subscriber(handler=handler, on_dead_letter=on_dead_letter)
    steps.declare(who)
    worker.subscribers = [who]
    worker.start()
    insert_post(database, "a")
    eventually(lambda: drained(database))
    worker.stop()
    assert len(attempts) == 2
    assert reported == []
    assert database.execute("SELECT FROM lockstep_deadletter").fetchone() is None


def test_a_handler_that_hangs_is_cut_at_its_deadline(
    steps: Steps, worker: BackgroundWorker, database: psycopg.Connection
):
    async def hang(claim: Claim) -> None:
        await asyncio.Event().wait()

    who = subscriber(handler=hang, deadline=0.2)
    steps.declare(who)
    worker.subscribers = [who]
    worker.start()
    insert_post(database, "a")
    cause = eventually(lambda: database.execute("SELECT cause FROM lockstep_lane WHERE failure = 'failed'").fetchone())
    assert cause == ("TimedOut: no answer within 0.2 s",)


def test_a_timeout_of_the_handlers_own_keeps_its_message(start, receiver: Receiver, database: psycopg.Connection):
    receiver.errors["a"] = [TimeoutError("the printer was silent for 3 s")]
    start()
    insert_post(database, "a")
    cause = eventually(lambda: database.execute("SELECT cause FROM lockstep_lane WHERE failure = 'failed'").fetchone())
    assert cause == ("TimedOut: the printer was silent for 3 s",)


def test_lanes_of_a_silent_remote_continue_when_it_answers(start, receiver: Receiver, database: psycopg.Connection):
    """Their retries are hours away; one success is enough."""
    waiting = [f"waits {n}" for n in range(5)]
    for title in waiting:
        receiver.errors[title] = [Unreachable("refused")]
    start()
    for title in waiting:
        insert_post(database, title)
    count = "SELECT count(*) FROM lockstep_lane WHERE failure = 'unreachable'"
    eventually(lambda: database.execute(count).fetchone() == (5,))
    database.execute("UPDATE lockstep_lane SET next_at = now() + interval '5 hours'")
    insert_post(database, "the first to get through")
    eventually(lambda: drained(database))
    assert sorted(title for _, title in receiver.got) == sorted([*waiting, "the first to get through"])


@pytest.mark.parametrize("error", [Unreachable("refused"), TimedOut("no answer")], ids=lambda error: error.failure)
def test_skipped_changes_are_no_response_of_the_remote(
    start, receiver: Receiver, database: psycopg.Connection, error: Exception
):
    """Other people's changes, which a receiver does not get, used up the attempts of its own."""
    receiver.errors["waits"] = [error]
    start(recorded=True)
    insert_post(database, "waits")
    silent = "SELECT silent_cause FROM lockstep_subscription WHERE silent_since IS NOT NULL"
    cause = eventually(lambda: database.execute(silent).fetchone())
    assert cause == (f"{type(error).__name__}: {error}",)
    database.execute("UPDATE lockstep_lane SET next_at = now() + interval '5 hours'")
    for n in range(16):
        insert_post(database, f"skip {n}")
    eventually(lambda: len(receiver.skipped) == 16 and len(waiting(database)) == 1)
    lane = "SELECT attempts, next_at > now() + interval '4 hours' FROM lockstep_lane"
    assert database.execute(lane).fetchall() == [(1, True)]
    assert database.execute(silent).fetchone() == cause
    assert database.execute("SELECT number, cause FROM lockstep_attempt").fetchall() == [(1, *cause)]
    insert_post(database, "an answer")
    eventually(lambda: database.execute(silent).fetchone() is None)


def test_an_outage_is_logged_once_with_its_latest_cause(
    start, receiver: Receiver, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, caplog
):
    """Its beginning was not logged, each probe was; and the status said that nothing answers beside a 500."""
    caplog.set_level(logging.INFO, "lockstep.delivery.courier")
    monkeypatch.setattr(courier_module, "PROBE_SECONDS", 0.05)
    receiver.errors["waits"] = [*(Unreachable("refused") for _ in range(5)), RetryLater("answered 500")]
    start()
    insert_post(database, "waits")
    silent = "SELECT silent_cause FROM lockstep_subscription WHERE silent_since IS NOT NULL"
    eventually(lambda: database.execute(silent).fetchone() == ("RetryLater: answered 500",))
    eventually(lambda: database.execute("UPDATE lockstep_lane SET next_at = now()").rowcount == 0)
    eventually(lambda: database.execute(silent).fetchone() is None)

    def said(words: str) -> list[str]:
        records = (record for record in caplog.records if record.name == "lockstep.delivery.courier")
        return [record.getMessage() for record in records if words in record.getMessage()]

    eventually(lambda: said("the remote answers"))
    assert said("the remote") == [
        "test: the remote does not answer; deliveries wait: Unreachable: refused",
        "test: the remote answers; 0 objects continue",
    ]
    assert len(said("(attempt 1): Unreachable")) == 1
    assert len(said("(attempt 2): Unreachable")) == 0


@pytest.mark.parametrize(
    ("beside", "is_silent"),
    [
        (Outcome(CLAIM, ended=5.0), False),
        (Outcome(CLAIM, RetryLater("503"), ended=5.0), False),
        (Outcome(CLAIM, Rejected("400"), ended=5.0), False),
        (Outcome(CLAIM, Unreachable("refused"), ended=5.0), True),
        (Outcome(CLAIM, Interrupted("our database"), ended=5.0), True),
        (Outcome(CLAIM, skipped=Skipped("not to be seen"), ended=5.0), True),
        (Outcome(CLAIM, RetryLater("503, long before"), ended=2.0), True),
    ],
    ids=lambda value: str(value.error or value.skipped) if isinstance(value, Outcome) else str(value),
)
def test_a_remote_that_answers_beside_a_timeout_is_not_silent(
    monkeypatch: pytest.MonkeyPatch, beside: Outcome, is_silent: bool
):
    courier = Courier(subscriber(), MagicMock(), EPOCHS)
    silent: list[Outcome] = []

    async def fall_silent(outcome: Outcome) -> None:
        silent.append(outcome)

    async def answer_again() -> None: ...

    async def note_cause(outcome: Outcome) -> None: ...

    monkeypatch.setattr(courier, "_mark_unreachable", fall_silent)
    monkeypatch.setattr(courier, "_mark_reachable", answer_again)
    monkeypatch.setattr(courier, "_note_cause", note_cause)
    asyncio.run(courier._track_reachability([beside, Outcome(CLAIM, TimedOut("no answer"), began=3.0, ended=6.0)]))
    assert bool(silent) == is_silent


@pytest.mark.parametrize(("name", "seconds"), [("test", 0.05), ("removed from the code", 0.5)])
def test_due_lanes_of_undeclared_subscriptions_do_not_shorten_the_wait(
    monkeypatch: pytest.MonkeyPatch, name: str, seconds: float
):
    worker = worker_module.Worker([subscriber(handler=Receiver())])
    waits: list[float] = []

    async def due(*arguments: object) -> dict[str, float]:
        return {name: -3_600.0}

    async def first_of(*signals: Signal, seconds: float) -> None:
        waits.append(seconds)
        worker.stopping.set()

    monkeypatch.setattr(worker_module, "subscriptions_due", due)
    monkeypatch.setattr(worker_module, "first_of", first_of)
    monkeypatch.setattr(worker_module, "WATCH_SECONDS", float("inf"))
    asyncio.run(worker._watch_due(MagicMock()))
    assert waits == [seconds]


def test_a_response_releases_lanes_that_another_worker_saw_unreachable(
    start, receiver: Receiver, database: psycopg.Connection
):
    start()
    insert_post(database, "first")
    eventually(lambda: drained(database))  # this courier has seen the remote answer
    receiver.errors["waits"] = [RetryLater("not now")]
    insert_post(database, "waits")
    eventually(lambda: database.execute("SELECT FROM lockstep_lane WHERE failure = 'failed'").fetchone() is not None)
    database.execute("UPDATE lockstep_lane SET failure = 'unreachable', next_at = now() + interval '5 hours'")
    database.execute("UPDATE lockstep_subscription SET silent_since = now()")
    insert_post(database, "second")
    eventually(lambda: drained(database))
    assert [title for _, title in receiver.got] == ["first", "second", "waits"]


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.DiskFull("no space left"),
        psycopg.errors.InternalError_("cache lookup failed for type 16500"),  # its plan is of before a migration
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_of_our_own_database_uses_up_no_attempt(
    start, receiver: Receiver, database: psycopg.Connection, error: psycopg.Error
):
    receiver.errors["a"] = [error]
    start()
    insert_post(database, "a")
    waits = "SELECT attempts, failure, cause FROM lockstep_lane WHERE failure IS NOT NULL"
    row = eventually(lambda: database.execute(waits).fetchone())
    assert row == (0, "interrupted", f"Interrupted: our database did not answer: {error}")


def test_a_courier_that_cannot_settle_claims_nothing_more(
    start, receiver: Receiver, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, caplog
):
    """A disk that takes claims and refuses settlements: what was delivered went out again with every lease."""
    monkeypatch.setattr(courier_module, "SETTLE_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(worker_module, "RECOVERY_SECONDS", 0.02)
    settle = courier_module.lanes.settle
    settlements = 0

    async def refuse(*arguments: object) -> list[Outcome]:
        nonlocal settlements
        settlements += 1
        raise psycopg.errors.DiskFull("no space left on device")

    monkeypatch.setattr(courier_module.lanes, "settle", refuse)
    start()
    insert_post(database, "a")
    eventually(lambda: receiver.got)
    for n in range(5):
        insert_post(database, f"later {n}")
        database.execute("UPDATE lockstep_lane SET next_at = now()")  # its lease ends
    eventually(lambda: settlements > 20 or len(receiver.got) > 1)
    assert [title for _, title in receiver.got] == ["a"]
    assert sum("cannot be written down" in message for message in caplog.messages) == 1
    assert sum(sample.value for sample in UNSETTLED.collect()[0].samples if sample.name.endswith("_total")) > 20
    monkeypatch.setattr(courier_module.lanes, "settle", settle)
    eventually(lambda: drained(database))
    assert sorted(title for _, title in receiver.got) == ["a", *(f"later {n}" for n in range(5))]


def test_a_receipt_that_cannot_be_stored_does_not_block_settlement(
    start, receiver: Receiver, database: psycopg.Connection
):
    receiver.errors["a"] = [Rejected("no", receipt={"said": float("nan")})]  # no JSON of PostgreSQL's
    start(recorded=True)
    post = insert_post(database, "a")
    rename_post(database, post, "b")
    eventually(lambda: drained(database))
    assert receiver.titles(post) == ["b"]
    assert database.execute("SELECT count(*) FROM lockstep_deadletter").fetchone() == (1,)


def test_a_silent_remote_is_probed_and_the_probes_do_not_count(
    start, receiver: Receiver, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(courier_module, "PROBE_SECONDS", 0.05)
    receiver.errors["a"] = [Unreachable("refused") for _ in range(12)]
    start()
    insert_post(database, "a")
    eventually(lambda: drained(database))
    assert len(receiver.messages["a"]) == 13
    assert database.execute("SELECT count(*) FROM lockstep_deadletter").fetchone() == (0,)


def test_a_worker_outlives_its_connections(start, receiver: Receiver, database: psycopg.Connection):
    start()
    insert_post(database, "before")
    eventually(lambda: len(receiver.got) == 1 and drained(database))
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'lockstep-worker'"
    assert eventually(lambda: database.execute(cut).fetchone() > (0,))
    insert_post(database, "after")
    eventually(lambda: drained(database))
    assert [title for _, title in receiver.got] == ["before", "after"]


def test_deliveries_in_flight_when_the_database_dies_end_and_count(
    steps: Steps, worker: BackgroundWorker, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(courier_module, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(worker_module, "RECOVERY_SECONDS", 0.05)
    delivering, died, got = asyncio.Event(), asyncio.Event(), list[tuple[UUID, bool]]()

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        is_open = True

        async def deliver(claim: Claim) -> None:
            delivering.set()
            await died.wait()
            for _ in range(100):  # the courier's end needs far fewer steps
                await asyncio.sleep(0)
            got.append((claim.message_id, is_open))

        try:
            yield deliver
        finally:
            is_open = False

    async def die(self: courier_module.Courier) -> bool:
        if delivering.is_set() and not died.is_set():
            died.set()
            raise psycopg.OperationalError("the server closed the connection")
        return False

    monkeypatch.setattr(courier_module.Courier, "_should_exit", die)
    worker.subscribers = [Subscriber(name="test", kind="event", models=(POST,), connect=connect)]
    steps.declare(worker.subscribers[0])
    worker.start()
    insert_post(database, "a")
    eventually(lambda: got and drained(database))
    assert [was_open for _, was_open in got] == [True]


def test_two_workers_share_the_work(steps: Steps, receiver: Receiver, database: psycopg.Connection):
    who = subscriber(handler=receiver, concurrency=4)
    steps.declare(who)
    workers = [BackgroundWorker([who]).start() for _ in range(2)]
    try:
        posts = [insert_post(database, f"{n}-0") for n in range(50)]
        for n, post in enumerate(posts):
            rename_post(database, post, f"{n}-1")
        eventually(lambda: drained(database))
    finally:
        for worker in workers:
            worker.stop()
    assert receiver.overlaps == []
    assert [receiver.titles(post) for post in posts] == [[f"{n}-0", f"{n}-1"] for n in range(50)]
