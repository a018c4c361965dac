"""Subscribers that come and go while the system runs, and what operators can do about any of them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import psycopg
import pytest
from django.db import connection

from conftest import database_url
from lockstep.delivery import courier as courier_module
from lockstep.delivery import operations
from lockstep.delivery.errors import Receipt, Rejected
from lockstep.delivery.lanes import LANES
from lockstep.delivery.operations import UnknownSubscription
from lockstep.delivery.subscriptions import Claim, Family, Handler, Pool, Subscriber
from lockstep.delivery.tests.support import Steps, insert_post, rename_post
from tests.support import BackgroundWorker, any_lock_waiter, drained, eventually

pytestmark = pytest.mark.slow


class Listeners:
    """A family whose members write down (member, type, title)."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, str]] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.family = Family("listener", self.member)

    def member(self, name: str) -> Subscriber:
        @asynccontextmanager
        async def connect(pool: Pool) -> AsyncIterator[Handler]:
            self.opened.append(name)
            yield lambda claim: self.hear(name, claim)
            self.closed.append(name)

        return Subscriber(
            name=name, kind="event", models=(), connect=connect, skip_origin="listeners", recorded=True, cap=100
        )

    async def hear(self, name: str, claim: Claim) -> Receipt:
        change = claim.change
        document = change.after or change.before or {}
        if document.get("title") == "refused":
            raise Rejected("not for me", receipt={"status": 404})
        self.got.append((name, f"{change.model}.{change.kind}", document.get("title", "")))
        return {"heard": document.get("title", ""), "nul": "\0"}

    def subscribe(self, key: int, *follows: str) -> str:
        name = self.family.subscription(key)
        operations.subscribe(self.member(name), follows=follows)
        return name


@pytest.fixture
def listeners(steps: Steps, worker: BackgroundWorker) -> Iterator[Listeners]:
    listeners = Listeners()
    worker.subscribers, worker.families = [], [listeners.family]
    yield listeners
    worker.stop()


def test_a_member_created_while_the_worker_runs_receives_later_changes(
    listeners: Listeners, worker: BackgroundWorker, database: psycopg.Connection
):
    worker.start()
    insert_post(database, "before")
    name = listeners.subscribe(1, "posts.post.*")
    insert_post(database, "after")
    eventually(lambda: listeners.got)
    assert listeners.got == [(name, "posts.post.created", "after")]


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [
        ("*", ["created", "updated", "deleted"]),
        ("posts.*", ["created", "updated", "deleted"]),
        ("posts.post.*", ["created", "updated", "deleted"]),
        ("posts.post.updated", ["updated"]),
        ("posts.comment.*", []),
        ("post.*", []),
        ("accounts.*", []),
    ],
)
def test_a_member_receives_changes_of_its_patterns(
    listeners: Listeners, worker: BackgroundWorker, database: psycopg.Connection, pattern: str, kinds: list[str]
):
    listeners.subscribe(1, pattern)
    post = insert_post(database, "a")
    rename_post(database, post, "b")
    database.execute("UPDATE posts_post SET deleted = now() WHERE id = %s", [post])
    worker.start()
    eventually(lambda: drained(database))
    assert [kind for _, kind, _ in listeners.got] == [f"posts.post.{kind}" for kind in kinds]


def test_an_idle_courier_exits_and_restarts_for_the_next_change(
    listeners: Listeners, worker: BackgroundWorker, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(courier_module, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(courier_module, "PROBE_SECONDS", 0.05)
    name = listeners.subscribe(1, "*")
    worker.start()
    insert_post(database, "a")
    eventually(lambda: listeners.closed == [name])
    insert_post(database, "b")
    eventually(lambda: listeners.closed == [name, name])
    assert [title for _, _, title in listeners.got] == ["a", "b"]


def test_every_attempt_is_kept_with_its_receipt(
    listeners: Listeners, worker: BackgroundWorker, database: psycopg.Connection
):
    listeners.subscribe(1, "*")
    insert_post(database, "fine")
    insert_post(database, "refused")
    worker.start()
    eventually(lambda: drained(database))
    attempts = database.execute("SELECT number, failure, cause, receipt FROM lockstep_attempt ORDER BY seq").fetchall()
    assert attempts == [
        (1, None, None, {"heard": "fine", "nul": "\ufffd"}),
        (1, "refused", "Rejected: not for me", {"status": 404}),
    ]


def test_something_can_be_sent_to_one_member_alone(
    listeners: Listeners, worker: BackgroundWorker, database: psycopg.Connection
):
    one, _other = listeners.subscribe(1, "*"), listeners.subscribe(2, "*")
    operations.send(one, model="tests.test", object_id="1", after={"title": "hello"})
    worker.start()
    eventually(lambda: drained(database))
    assert listeners.got == [(one, "tests.test.created", "hello")]


def test_a_disabled_member_drops_waiting_changes_and_starts_at_now(
    listeners: Listeners, worker: BackgroundWorker, database: psycopg.Connection, steps: Steps
):
    name = listeners.subscribe(1, "*")
    insert_post(database, "waits")
    steps.fan_out(name)
    insert_post(database, "behind")
    operations.disable(name, reason="nobody listens")
    [status] = operations.status()
    assert (status.state, status.reason, status.waiting) == ("disabled", "nobody listens", 0)
    insert_post(database, "meanwhile")
    operations.enable(name)
    insert_post(database, "later")
    worker.start()
    eventually(lambda: drained(database))
    assert [title for _, _, title in listeners.got] == ["later"]


@pytest.mark.parametrize("work", ["disable", "unsubscribe", "rewind"])
def test_an_operation_waits_for_a_settlement_without_a_circle(
    listeners: Listeners, database: psycopg.Connection, steps: Steps, work: str
):
    """It took what waits before the lanes that it waits in, and a settlement the other way round: a deadlock."""
    name = listeners.subscribe(1, "*")
    for title in ("a", "b"):
        insert_post(database, title)
    steps.fan_out(name)
    claims = steps.claim(listeners.member(name))
    do = {
        "disable": lambda: operations.disable(name, reason="off"),
        "unsubscribe": lambda: operations.unsubscribe(name),
        "rewind": lambda: operations.rewind(name),
    }[work]
    with ThreadPoolExecutor(1) as operator, psycopg.connect(database_url()) as settlement:
        settlement.execute(LANES["lock_claimed"], bigints_of(claims))
        done = operator.submit(lambda: (do(), connection.close()))
        eventually(lambda: any_lock_waiter(database) or done.done())
        for claim in claims:
            settlement.execute(LANES["remove_delivered"], bigints_of([claim]))
        settlement.commit()
        done.result()


def bigints_of(claims: Sequence[Claim]) -> dict[str, object]:
    return {
        "lanes": [claim.lane for claim in claims],
        "tokens": [claim.token for claim in claims],
        "seqs": [claim.change.seq for claim in claims],
        "absorbs": [False for _ in claims],
    }


def settle_as_refused(steps: Steps, member: Subscriber) -> None:
    [claim] = steps.claim(member)
    steps.settle(claim, error=Rejected("no"))


def test_a_removed_member_leaves_no_rows(
    listeners: Listeners, worker: BackgroundWorker, database: psycopg.Connection, steps: Steps
):
    name = listeners.subscribe(1, "*")
    insert_post(database, "a")
    steps.fan_out(name)
    settle_as_refused(steps, listeners.member(name))
    insert_post(database, "b")
    steps.fan_out(name)
    operations.unsubscribe(name)
    tables = ("subscription", "lane", "delivery", "attempt", "deadletter")
    assert [database.execute(f"SELECT count(*) FROM lockstep_{table}").fetchone() for table in tables] == [(0,)] * 5
    with pytest.raises(UnknownSubscription):
        operations.unsubscribe(name)
