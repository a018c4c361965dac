"""The span of a delivery: a child of what wrote the change, and the parent of what the receiver makes of it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import httpx
import psycopg
import pytest
from django.conf import settings

from backend.config.logs import JSONFormatter
from backend.posts.models import Post
from lockstep import telemetry
from lockstep.changes.attribution import attributed_transaction, set_local
from lockstep.changes.database_errors import UnsuitableDatabase
from lockstep.changes.models import LoggedChange
from lockstep.delivery.errors import DependencyPending, Receipt, Rejected, RetryLater
from lockstep.delivery.subscriptions import Claim, Skipped, Subscriber
from lockstep.delivery.tests.support import insert_post
from lockstep.delivery.worker import Worker
from lockstep.http.client import HttpClient
from lockstep.webhooks import deliver
from lockstep.webhooks.tests.receiver import Receiver, receiving
from tests.support import WAIT_TIMEOUT, BackgroundWorker, Cast, drained, eventually
from tests.traces import Recorded, SentSpan, parts, recording

pytestmark = pytest.mark.slow  # a worker delivers

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    with recording(monkeypatch) as recorded:
        yield recorded


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(settings, "DEBUG", True)  # plain http, to a receiver on this machine
    monkeypatch.setitem(settings.LOCKSTEP, "WEBHOOK_ALLOW_NETWORKS", [ip_network("127.0.0.0/8")])
    with receiving() as receiver:
        yield receiver


def start(worker: BackgroundWorker, database: psycopg.Connection, *subscribers: Subscriber) -> None:
    """A worker with these subscribers alone, and the endpoints of people."""
    database.execute("DELETE FROM lockstep_subscription")
    worker.subscribers, worker.families = list(subscribers), [deliver.ENDPOINTS]
    worker.start()
    eventually(lambda: database.execute("SELECT count(*) FROM lockstep_subscription").fetchone()[0] == len(subscribers))


def told_by(handler: Any, **options: Any) -> Subscriber:
    """A subscriber of posts with this handler."""

    @asynccontextmanager
    async def connect(_: Any) -> AsyncIterator[Any]:
        yield handler

    return Subscriber(name="told", kind="event", models=("posts.post",), connect=connect, **options)


def deliveries(traces: Recorded) -> list[SentSpan]:
    return [span for span in traces.spans if span.name.startswith("deliver")]


def create(person: Any, traceparent: str = f"00-{TRACE}-{SPAN}-01") -> LoggedChange:
    body = {"title": "t", "body": "b"}
    person.client.post(
        "/fakeapi/v1/posts/create/", body, content_type="application/json", headers={"traceparent": traceparent}
    )
    return LoggedChange.objects.filter(model="posts.post").latest("seq")


def test_a_webhook_carries_the_span_of_its_delivery_whose_parent_wrote_the_change(
    traces: Recorded, receiver: Receiver, worker: BackgroundWorker, database: psycopg.Connection
):
    cast = Cast.make()
    start(worker, database)
    made = cast.owner.post("/api/v1/webhooks/", {"url": receiver.url, "events": ["posts.post.*"]}).json()
    change = create(cast.owner)
    eventually(lambda: receiver.requests)
    eventually(lambda: drained(database))
    trace, delivery = parts(receiver.requests[0].headers["traceparent"])
    [span] = deliveries(traces)
    assert (trace, delivery) == (TRACE, span.span_id)
    assert (span.trace_id, span.parent) == parts(change.traceparent)
    assert (span.name, span.kind, span.failed) == ("deliver webhook", "client", False)
    assert span.facts == {
        "messaging.system": "lockstep",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "send",
        "messaging.destination.name": f"webhook:{made['id']}",
        "messaging.message.id": receiver.ids[0],
        "lockstep.model": "posts.post",
        "lockstep.object_id": change.object_id,
        "lockstep.change.kind": "created",
        "lockstep.change.seq": change.seq,
        "lockstep.attempt": 1,
        "lockstep.outcome": "delivered",
        "http.response.status_code": 204,
    }


def test_a_request_to_a_provider_carries_it_too(
    traces: Recorded, receiver: Receiver, worker: BackgroundWorker, database: psycopg.Connection
):
    async def push(_: Claim) -> Receipt | None:
        async with (
            HttpClient(receiver.url) as client,
            client._operation(write=True) as operation,
            client._answer(operation, "POST", "/", body={}) as answer,
        ):
            assert isinstance(answer, httpx.Response)
        return None

    start(worker, database, told_by(push))
    change = create(Cast.make().owner)
    eventually(lambda: receiver.requests)
    eventually(lambda: drained(database))
    [span] = deliveries(traces)
    assert parts(receiver.requests[0].headers["traceparent"]) == (TRACE, span.span_id)
    assert span.parent == parts(change.traceparent)[1]


@pytest.mark.parametrize(
    ("outcome", "told", "failed"),
    [
        (RetryLater("not now", receipt={"status": 503}), ("failed", "RetryLater", 503), True),
        (Rejected("never"), ("failed", "Rejected", None), True),
        (DependencyPending("first another"), ("waiting", None, None), False),
        (Skipped("nothing to say"), ("skipped", None, None), False),
        (ValueError("a mistake with https://receiver.example/secret"), ("failed", "RetryLater", None), True),
        (None, ("delivered", None, None), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_span_has_the_outcome_and_nothing_of_the_response(
    traces: Recorded,
    worker: BackgroundWorker,
    database: psycopg.Connection,
    outcome: Any,
    told: tuple[object, ...],
    failed: bool,
):
    async def handler(_: Claim) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    start(worker, database, told_by(handler))
    insert_post(database, "a")
    span = eventually(lambda: deliveries(traces))[0]
    names = ("lockstep.outcome", "error.type", "http.response.status_code")
    assert tuple(span.facts.get(name) for name in names) == told
    assert span.failed is failed
    assert "secret" not in str(span.facts)


def test_a_change_without_a_span_begins_a_trace_with_its_delivery(
    traces: Recorded, worker: BackgroundWorker, database: psycopg.Connection
):
    async def handler(_: Claim) -> None:
        return None

    start(worker, database, told_by(handler))
    insert_post(database, "a")
    eventually(lambda: drained(database))
    assert [span.parent for span in deliveries(traces)] == [""]


def test_of_a_batch_each_claim_has_its_own_span_in_its_own_trace(
    traces: Recorded, worker: BackgroundWorker, database: psycopg.Connection
):
    current: dict[int, str] = {}

    async def write(_: Any, claims: Sequence[Claim]) -> None:
        current[len(claims)] = telemetry.traceparent()

    within = Subscriber(name="told", kind="state", models=("posts.post",), within=write, batch=10)
    owner = Cast.make().owner
    start(worker, database, within)
    worker.stop()
    changes = [create(owner, f"00-{n:032x}-{SPAN}-01") for n in range(1, 4)]
    worker.start()
    eventually(lambda: len(deliveries(traces)) == 3)
    assert current == {3: ""}  # what is written for all three belongs to none
    assert {(span.kind, span.facts["lockstep.outcome"]) for span in deliveries(traces)} == {("consumer", "delivered")}
    expected = {parts(change.traceparent) for change in changes}
    assert {(span.trace_id, span.parent) for span in deliveries(traces)} == expected


def test_changes_of_a_handler_belong_to_the_trace_of_its_change(
    traces: Recorded, worker: BackgroundWorker, database: psycopg.Connection
):
    def answer() -> None:
        with attributed_transaction(actor="told"):
            Post.objects.create(title="answer", body="b")

    async def handler(claim: Claim) -> None:
        if (claim.change.after or {}).get("title") != "answer":
            await asyncio.to_thread(answer)

    owner = Cast.make().owner
    start(worker, database, told_by(handler))
    create(owner)
    eventually(lambda: len(deliveries(traces)) == 2)
    first, second = deliveries(traces)
    assert (second.trace_id, second.parent) == (TRACE, first.span_id)


def test_the_line_of_a_failed_attempt_names_its_span(
    traces: Recorded, worker: BackgroundWorker, database: psycopg.Connection, caplog: pytest.LogCaptureFixture
):
    async def handler(_: Claim) -> None:
        raise Rejected("never")

    caplog.set_level(logging.INFO, "lockstep.delivery.courier")
    start(worker, database, told_by(handler))
    insert_post(database, "a")
    eventually(lambda: drained(database))
    [span] = deliveries(traces)
    [line] = eventually(lambda: [record for record in caplog.records if "dead letter" in record.getMessage()])
    told = json.loads(JSONFormatter().format(line))
    assert (told["trace_id"], told["span_id"]) == (span.trace_id, span.span_id)


def test_an_import_carries_the_span_of_its_command(traces: Recorded, database: psycopg.Connection):
    assert telemetry.active
    with telemetry.active.span("import", "internal", {}) as span:
        statement, parameters = set_local(origin="somewhere", trace="import")
        own = telemetry.active.traceparent(span)
    with database.transaction():
        database.execute(statement, parameters)
        insert_post(database, "a")
    assert LoggedChange.objects.get(model="posts.post").traceparent == own


def test_a_worker_claims_nothing_before_its_database_is_migrated(database: psycopg.Connection):
    async def handler(_: Claim) -> None:
        return None

    insert_post(database, "a")
    database.execute("ALTER TABLE lockstep_change RENAME traceparent TO another")
    try:
        with pytest.raises(UnsuitableDatabase, match="traceparent does not exist"):
            asyncio.run(asyncio.wait_for(Worker([told_by(handler)]).run(), WAIT_TIMEOUT))
    finally:
        database.execute("ALTER TABLE lockstep_change RENAME another TO traceparent")
    assert database.execute("SELECT count(*) FROM lockstep_lane").fetchone() == (0,)


def test_where_there_are_no_traces_no_header_is_sent(
    receiver: Receiver, worker: BackgroundWorker, database: psycopg.Connection
):
    cast = Cast.make()
    start(worker, database)
    cast.owner.post("/api/v1/webhooks/", {"url": receiver.url, "events": ["posts.post.*"]})
    create(cast.owner)
    eventually(lambda: receiver.requests)
    assert "traceparent" not in receiver.requests[0].headers
