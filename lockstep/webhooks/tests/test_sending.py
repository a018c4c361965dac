"""From a write to the receiver: signatures, order, refusals, redelivery, endpoints that do not answer."""

import gzip
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from standardwebhooks import WebhookVerificationError

from backend.accounts.models import User
from backend.shop.models import Tag
from lockstep.delivery import operations
from lockstep.delivery.destinations.webhook import Destination, signed_headers
from lockstep.delivery.tests.support import insert_post, rename_post
from lockstep.sql import Statement
from lockstep.webhooks import deliver
from lockstep.webhooks.actions import MAX_OLD_SECRETS
from lockstep.webhooks.models import Endpoint
from lockstep.webhooks.tests.receiver import Received, Receiver
from tests.support import WAIT_TIMEOUT, BackgroundWorker, Cast, Person, drained, eventually

PATH = "/api/v1/webhooks/"


pytestmark = pytest.mark.slow  # a worker sends to a receiver


@pytest.fixture(autouse=True)
def development(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEBUG", True)  # plain http, to a receiver on this machine


@pytest.fixture
def people(transactional_db: None) -> Cast:
    return Cast.make()


@pytest.fixture
def hooks(worker: BackgroundWorker, database: psycopg.Connection) -> BackgroundWorker:
    """A worker that delivers to endpoints alone."""
    database.execute("DELETE FROM lockstep_subscription")
    worker.subscribers, worker.families = [], [deliver.ENDPOINTS]
    return worker.start()


def make(person: Person, receiver: Receiver, *events: str) -> dict[str, Any]:
    response = person.post(PATH, {"url": receiver.url, "events": events or ["posts.post.*"]})
    assert response.status_code == 201, response.content
    return response.json()


def received(receiver: Receiver, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that were sent to this endpoint: those that its secret signed."""
    events = []
    for request in receiver.requests:
        with suppress(WebhookVerificationError):
            events.append(request.verified(endpoint["secret"]))
    return events


def attempts(person: Person, endpoint: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    return person.get(f"{PATH}{endpoint['id']}/attempts/{query}").json()["results"]


def test_a_change_arrives_signed(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    post = insert_post(database, "a")
    rename_post(database, post, "b")
    database.execute("UPDATE posts_post SET deleted = now() WHERE id = %s", [post])
    eventually(lambda: len(receiver.requests) == 3)
    events = [request.verified(endpoint["secret"]) for request in receiver.requests]
    assert [event["type"] for event in events] == [f"posts.post.{kind}" for kind in ("created", "updated", "deleted")]
    documents = [(event["data"]["before"], event["data"]["after"]) for event in events]
    titles = [tuple(document and document["title"] for document in pair) for pair in documents]
    assert titles == [(None, "a"), ("a", "b"), ("b", None)]
    assert {event["data"]["id"] for event in events} == {post}
    assert set(events[0]) == {"type", "timestamp", "data"}
    assert datetime.fromisoformat(events[0]["timestamp"]).tzinfo
    assert len(set(receiver.ids)) == 3


def test_a_forged_body_does_not_verify(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    insert_post(database, "a")
    request = eventually(lambda: receiver.requests)[0]
    with pytest.raises(WebhookVerificationError):
        Received(request.path, request.headers, request.body.replace(b'"a"', b'"b"')).verified(endpoint["secret"])


def test_only_changes_of_its_patterns_that_the_owner_may_read_are_sent(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    make(people.owner, receiver, "*")
    User.objects.create_user("someuser", email="private@example.com")
    theirs = make(people.colleague, receiver, "posts.comment.created")  # its creation is its owner's business alone
    own = make(people.owner, receiver, "lockstep_webhooks.endpoint.*")
    insert_post(database, "a")

    def sent(text: str) -> list[bytes]:
        return [request.body for request in receiver.requests if text.encode() in request.body]

    eventually(lambda: sent("posts.post.created") and sent(own["id"]))
    eventually(lambda: drained(database))
    assert sent("private@example.com") == sent(theirs["id"]) == []
    assert len(sent("posts.post.created")) == 1


def test_a_product_out_of_sight_is_a_deletion_to_others_without_its_new_contents(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    others = make(people.colleague, receiver, "shop.product.*")
    gone = make(people.outsider, receiver, "shop.product.deleted")
    own = make(people.owner, receiver, "shop.product.updated")
    made = people.owner.post("/api/v1/products/", {"name": "open", "price": "1.00"}).json()

    def change(**values: str) -> None:
        path = f"/api/v1/products/{made['id']}/"
        assert people.owner.client.patch(path, values, content_type="application/json").status_code == 200

    eventually(lambda: receiver.requests)  # a product that is hidden before its first delivery is not sent
    change(name="secret 1", state="OFF_SALE")
    change(name="secret 2")
    change(name="offered", state="ON_SALE")
    eventually(lambda: drained(database))
    eventually(lambda: sum(b"offered" in one.body for one in receiver.requests) == 2)

    def told(endpoint: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        return [
            (event["type"].removeprefix("shop.product."), *(one and one["name"] for one in documents))
            for event in received(receiver, endpoint)
            for documents in [(event["data"][side] for side in ("before", "after"))]
        ]

    assert told(others) == [("created", None, "open"), ("deleted", None, None), ("created", None, "offered")]
    assert told(gone) == [("deleted", None, None)]
    assert [attempt["type"] for attempt in attempts(people.outsider, gone)] == ["shop.product.deleted"]
    assert told(own) == [
        ("updated", "open", "secret 1"),
        ("updated", "secret 1", "secret 2"),
        ("updated", "secret 2", "offered"),
    ]


def test_redelivery_shows_nothing_of_a_product_out_of_sight(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    for name, state in (("withdrawn", "OFF_SALE"), ("offered", "ON_SALE")):
        made = people.owner.post("/api/v1/products/", {"name": name, "price": "1.00"}).json()
        path = f"/api/v1/products/{made['id']}/"
        people.owner.client.patch(path, {"stock": 1, "state": state}, content_type="application/json")
    endpoint = make(people.colleague, receiver, "shop.product.*")
    Endpoint.objects.update(created="2026-01-01T00:00:00Z")
    again = people.colleague.post(f"{PATH}{endpoint['id']}/redeliver/", {"since": "2026-01-01T00:00:00Z"})
    assert again.status_code < 300, again.content
    eventually(lambda: drained(database) and len(receiver.requests) >= 3)
    events = [request.verified(endpoint["secret"]) for request in receiver.requests]
    assert sorted(event["type"] for event in events) == [
        f"shop.product.{kind}" for kind in ("created", "deleted", "updated")
    ]
    assert not any(b"withdrawn" in request.body for request in receiver.requests)


def test_redelivery_does_not_count_unreadable_changes(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    """How many orders there were, and when, could be found out by periods that get shorter."""
    endpoint = make(people.colleague, receiver, "shop.order.*", "shop.product.*")
    redeliver = {"since": endpoint["created"]}
    nothing = people.colleague.post(f"{PATH}{endpoint['id']}/redeliver/", redeliver)
    made = people.owner.post("/api/v1/products/", {"name": "x", "price": "1.00", "stock": 9}).json()
    for quantity in (1, 2):
        order = {"lines": [{"product": made["id"], "quantity": quantity}]}
        assert people.owner.post("/api/v1/orders/", order).status_code == 201
    eventually(lambda: receiver.requests)  # of the product
    eventually(lambda: drained(database))
    something = people.colleague.post(f"{PATH}{endpoint['id']}/redeliver/", redeliver)
    assert (something.status_code, something.json()) == (nothing.status_code, nothing.json())


def test_redelivery_excludes_the_time_before_the_endpoint(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    """The owner of a new endpoint would otherwise read everything that was ever deleted."""
    insert_post(database, "taken back")
    database.execute("UPDATE posts_post SET deleted = now()")
    endpoint = make(people.colleague, receiver, "posts.post.*")
    insert_post(database, "after")
    redeliver = {"since": "2020-01-01T00:00:00Z"}
    assert people.colleague.post(f"{PATH}{endpoint['id']}/redeliver/", redeliver).status_code == 202
    eventually(lambda: drained(database) and receiver.requests)
    assert {request.verified(endpoint["secret"])["data"]["after"]["title"] for request in receiver.requests} == {
        "after"
    }


def test_addresses_of_comments_and_links_of_tags_are_not_sent_to_others(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    others, staff = (make(person, receiver, "*") for person in (people.colleague, people.staff))
    insert_post(database, "a")
    database.execute(
        "INSERT INTO posts_comment (id, post_id, name, email, body)"
        " SELECT gen_random_uuid(), id, 'n', 'mistyped@example.com', 'b' FROM posts_post"
    )
    database.execute("UPDATE posts_comment SET email = 'right@example.com'")
    database.execute("UPDATE posts_comment SET body = 'the last'")
    tag, product = Tag.objects.create(name="red"), people.owner.post("/api/v1/products/", {"name": "x", "price": "1"})
    assert people.owner.put(f"/api/v1/products/{product.json()['id']}/tags/{tag.pk}/", {}).status_code == 204
    eventually(lambda: drained(database))

    events = received(receiver, others)
    types = Counter(event["type"] for event in events)
    assert (types["posts.comment.created"], types["posts.comment.updated"], types["shop.producttag.created"]) == (
        1,
        1,
        0,
    )
    assert "example.com" not in str(events)
    assert {tag for event in events for tag in (event["data"]["after"] or {}).get("tags", ())} == {"red"}
    events = received(receiver, staff)
    types = Counter(event["type"] for event in events)
    assert (types["posts.comment.created"], types["posts.comment.updated"], types["shop.producttag.created"]) == (
        1,
        2,
        1,
    )
    assert "mistyped@example.com" in str(events)


def test_rights_that_are_taken_away_end_at_once(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    make(people.staff, receiver, "accounts.user.*", "posts.post.*")
    User.objects.create_user("first")
    eventually(lambda: any(b'"first"' in request.body for request in receiver.requests))
    User.objects.filter(pk=people.staff.user.pk).update(is_staff=False)
    User.objects.create_user("second")
    insert_post(database, "a")
    eventually(lambda: any(b"posts.post.created" in request.body for request in receiver.requests))
    assert not any(b'"second"' in request.body for request in receiver.requests)


def test_both_secrets_sign_during_a_rotation(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    rotated = people.owner.post(f"{PATH}{endpoint['id']}/rotate/", {}).json()
    assert rotated["secret"] != endpoint["secret"]
    insert_post(database, "a")
    request = eventually(lambda: receiver.requests)[0]
    assert request.verified(endpoint["secret"]) == request.verified(rotated["secret"])
    database.execute("UPDATE lockstep_webhooks_endpoint SET old_secrets_until = ARRAY[now()]")
    insert_post(database, "b")
    later = eventually(lambda: receiver.requests[1:])[0]
    assert later.verified(rotated["secret"])["type"] == "posts.post.created"
    with pytest.raises(WebhookVerificationError):
        later.verified(endpoint["secret"])


def test_a_secret_signs_until_its_own_end_however_often_it_is_replaced(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    rotate = f"{PATH}{endpoint['id']}/rotate/"
    secrets = [endpoint["secret"], *(people.owner.post(rotate, {}).json()["secret"] for _ in range(MAX_OLD_SECRETS))]
    insert_post(database, "a")
    request = eventually(lambda: receiver.requests)[0]
    for secret in secrets:
        assert request.verified(secret)["type"] == "posts.post.created"
    refused = people.owner.post(rotate, {})
    assert (refused.status_code, "old secrets of this endpoint are still valid" in refused.json()["detail"]) == (
        409,
        True,
    )
    database.execute("UPDATE lockstep_webhooks_endpoint SET old_secrets_until[1] = now()")
    newest = people.owner.post(rotate, {}).json()["secret"]
    insert_post(database, "b")
    later = eventually(lambda: receiver.requests[1:])[0]
    for secret in (newest, *secrets[1:]):
        assert later.verified(secret)["type"] == "posts.post.created"
    with pytest.raises(WebhookVerificationError):
        later.verified(secrets[0])


def test_a_new_secret_signs_from_its_response_on(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    for n in range(3):
        insert_post(database, f"{n}")
        eventually(lambda: len(receiver.requests) == n + 1)  # noqa: B023 - the endpoint is read for it
        rotated = people.owner.post(f"{PATH}{endpoint['id']}/rotate/", {}).json()
    insert_post(database, "after")
    request = eventually(lambda: receiver.requests[3:])[0]
    assert request.verified(rotated["secret"])["data"]["after"]["title"] == "after"


def test_messages_refused_during_a_rotation_are_retried(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    """It was signed before the owner had the new secret, and verified by a receiver that has only the new one."""
    endpoint = make(people.owner, receiver)

    def rotate_and_refuse(request: Received) -> tuple[int, dict[str, str], bytes]:
        assert people.owner.post(f"{PATH}{endpoint['id']}/rotate/", {}).status_code == 200
        return 401, {}, b""

    receiver.answer = rotate_and_refuse
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    assert attempt["cause"] == "RetryLater: answered 401; the endpoint was changed meanwhile"
    receiver.answer = lambda request: (401, {}, b"")
    database.execute("UPDATE lockstep_lane SET next_at = now()")
    eventually(lambda: database.execute("SELECT cause FROM lockstep_deadletter").fetchall())
    assert attempts(people.owner, endpoint)[0]["cause"] == "Rejected: answered 401"


@pytest.mark.parametrize("minutes", [10, pytest.param(-10, marks=pytest.mark.faults)])
def test_a_worker_whose_clock_is_wrong_signs_with_the_right_time(
    people: Cast,
    receiver: Receiver,
    hooks: BackgroundWorker,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
):
    """Receivers refuse what was signed more than five minutes ago, or will be."""

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(minutes=minutes)

    for module in ("lockstep.delivery.destinations.webhook", "lockstep.delivery.clock", "lockstep.http.retry_after"):
        monkeypatch.setattr(f"{module}.datetime", WrongClock)
    endpoint = make(people.owner, receiver)
    in_a_minute = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    receiver.answer = lambda request: (503, {"retry-after": in_a_minute}, b"")
    insert_post(database, "a")
    request = eventually(lambda: receiver.requests)[0]
    assert request.verified(endpoint["secret"])["type"] == "posts.post.created"
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    signed = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    assert abs(datetime.fromisoformat(attempt["at"]) - signed) < timedelta(minutes=1)
    due = "SELECT next_at BETWEEN now() + interval '30 s' AND now() + interval '1 min' FROM lockstep_lane"
    assert database.execute(due).fetchone() == (True,)


def test_unreadable_changes_are_no_response_of_the_receiver(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    """Sixteen orders of other people made dead letters of six messages within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = Receiver(url=f"http://127.0.0.1:{taken.getsockname()[1]}/")
    endpoint = make(people.owner, closed, "shop.order.*")
    product = people.owner.post("/api/v1/products/", {"name": "x", "price": "1.00", "stock": 99}).json()["id"]

    def order(person: Person) -> None:
        response = person.post("/api/v1/orders/", {"lines": [{"product": product, "quantity": 1}]})
        assert response.status_code == 201, response.content

    order(people.owner)
    waits = "SELECT attempts FROM lockstep_lane WHERE failure = 'unreachable'"
    eventually(lambda: database.execute(waits).fetchall() == [(1,)])
    database.execute("UPDATE lockstep_lane SET next_at = now() + interval '5 hours'")
    for _ in range(4):
        order(people.colleague)
    eventually(lambda: [(status.behind, status.objects) for status in operations.status()] == [(0, 1)])
    assert database.execute(waits + " AND next_at > now() + interval '4 hours'").fetchall() == [(1,)]
    assert len(attempts(people.owner, endpoint)) == 1


def test_a_test_event_is_delivered(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    other = make(people.colleague, receiver, "*")
    assert people.owner.post(f"{PATH}{endpoint['id']}/test/", {}).status_code == 202

    def tests() -> list[Received]:
        return [request for request in receiver.requests if b"webhooks.test" in request.body]

    event = eventually(tests)[0].verified(endpoint["secret"])
    assert (event["type"], event["data"]["after"]["endpoint"]) == ("webhooks.test.created", endpoint["id"])
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    assert (attempt["delivered"], attempt["status"], attempt["type"]) == (True, 204, "webhooks.test.created")
    eventually(lambda: drained(database))
    assert "webhooks.test.created" not in {each["type"] for each in attempts(people.colleague, other)}
    assert len(tests()) == 1


def test_attempts_have_request_and_response_without_signatures(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    receiver.answer = lambda request: (418, {"x-internal": "no", "server": "teapot"}, b"short \0 and stout")
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint, "?delivered=false"))
    assert (attempt["number"], attempt["status"], attempt["cause"]) == (1, 418, "Rejected: answered 418")
    assert attempt["response"] == "short \ufffd and stout"
    assert attempt["request_headers"]["webhook-id"] == attempt["message_id"] == receiver.ids[0]
    assert attempt["request_headers"]["webhook-signature"] == "[redacted]"
    assert "x-internal" not in attempt["response_headers"]
    assert attempts(people.owner, endpoint, "?delivered=true") == []
    assert attempts(people.owner, endpoint, f"?message_id={attempt['message_id']}") == [attempt]


def test_rejected_messages_can_be_sent_again_under_their_id(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    receiver.answer = lambda request: (400, {}, b"")
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    receiver.answer = lambda request: (200, {}, b"")
    response = people.owner.post(f"{PATH}{endpoint['id']}/redeliver/", {"message_id": attempt["message_id"]})
    assert response.status_code == 202
    eventually(lambda: len(receiver.requests) == 2)
    assert len(set(receiver.ids)) == 1
    assert database.execute("SELECT outcome FROM lockstep_deadletter").fetchall() == [("replayed",)]
    eventually(lambda: len(attempts(people.owner, endpoint, "?delivered=true")) == 1)
    people.owner.post(f"{PATH}{endpoint['id']}/redeliver/", {"message_id": attempt["message_id"]})
    eventually(lambda: len(receiver.requests) == 3)
    assert len(set(receiver.ids)) == 1


def test_dead_letters_and_a_period_can_be_redelivered(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    receiver.answer = lambda request: (400, {}, b"") if b'"bad"' in request.body else (200, {}, b"")
    insert_post(database, "bad")
    insert_post(database, "good")
    eventually(lambda: len(attempts(people.owner, endpoint)) == 2)
    receiver.answer = lambda request: (200, {}, b"")
    redeliver = f"{PATH}{endpoint['id']}/redeliver/"
    assert people.owner.post(redeliver, {"dead_letters": True}).status_code == 202
    eventually(lambda: len(receiver.requests) == 3)
    eventually(lambda: database.execute("SELECT FROM lockstep_lane").fetchone() is None)
    assert people.owner.post(redeliver, {"since": "2020-01-01T00:00:00Z"}).status_code == 202
    eventually(lambda: len(receiver.requests) == 5)


@pytest.mark.parametrize(
    ("answer", "failure", "status"),
    [
        ((500, {}, b""), "failed", 500),
        ((429, {"retry-after": "120"}, b""), "failed", 429),
        ((302, {"location": "http://127.0.0.1:1/"}, b""), "refused", 302),
        ((404, {}, b""), "refused", 404),
    ],
)
def test_responses_other_than_2xx_are_failures(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection, answer, failure, status
):
    endpoint = make(people.owner, receiver)
    receiver.answer = lambda request: answer
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    assert (attempt["delivered"], attempt["status"]) == (False, status)
    row = eventually(lambda: database.execute("SELECT failure FROM lockstep_attempt").fetchone())
    assert row == (failure,)
    assert len(receiver.requests) == 1
    if status == 429:
        [(seconds,)] = database.execute("SELECT extract(epoch FROM next_at - now()) FROM lockstep_lane").fetchall()
        assert 100 < seconds <= 120


def test_a_long_response_is_read_to_64_kib_and_never_decompressed(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    bomb = gzip.compress(b"\0" * 50_000_000)
    receiver.answer = lambda request: (200, {"content-encoding": "gzip"}, bomb + b"x" * 5_000_000)
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    assert attempt["delivered"]
    assert len(attempt["response"]) <= 2_000


def test_an_unstorable_response_is_stored_as_far_as_possible(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    receiver.answer = lambda request: (200, {"server": "\xff"}, b"\0\\u0000\\\0\xed\xa0\x80")
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    assert attempt["delivered"]
    assert attempt["response"].startswith("\ufffd\\u0000\\\ufffd")
    eventually(lambda: drained(database))


def test_a_slowly_sending_receiver_is_given_up_at_the_deadline(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection, monkeypatch
):
    monkeypatch.setitem(settings.LOCKSTEP, "WEBHOOK_DEADLINE", 0.5)
    drip = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = drip.accept()
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(100):
            try:
                connection.sendall(b".")
            except OSError:
                return
            time.sleep(0.1)

    threading.Thread(target=serve, daemon=True).start()
    receiver.url = f"http://127.0.0.1:{drip.getsockname()[1]}/"
    endpoint = make(people.owner, receiver)
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    assert (attempt["delivered"], attempt["cause"]) == (False, "TimedOut: no whole answer within 0.5 s")
    drip.close()


def test_a_private_address_is_never_connected_to(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection, monkeypatch
):
    endpoint = make(people.owner, receiver)
    monkeypatch.setitem(settings.LOCKSTEP, "WEBHOOK_ALLOW_NETWORKS", [])
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    assert attempt["cause"] == "Rejected: 127.0.0.1 is not an address on the public internet"
    assert receiver.requests == []


def test_an_endpoint_that_answers_410_is_disabled_with_a_change_in_the_feed(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    receiver.answer = lambda request: (410, {}, b"")
    insert_post(database, "a")
    shown = eventually(lambda: (s := people.owner.get(f"{PATH}{endpoint['id']}/").json())["active"] is False and s)
    assert shown["reason"] == "answered 410 Gone"
    notice = (
        "SELECT after ->> 'reason' FROM lockstep_change WHERE model = 'lockstep_webhooks.endpoint' AND kind = 'updated'"
    )
    assert database.execute(notice).fetchall() == [(shown["reason"],)]
    states = database.execute("SELECT state FROM lockstep_subscription").fetchall()
    assert states == [("disabled",)]
    eventually(lambda: database.execute("SELECT count(*) FROM lockstep_lane").fetchone() == (0,))


def test_message_that_is_answered_410_is_put_aside_and_can_be_had_again(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    both = threading.Barrier(2, timeout=WAIT_TIMEOUT)

    def gone(request: Received) -> tuple[int, dict[str, str], bytes]:
        both.wait()  # under way together: the second one's lane is gone when it is answered
        return 410, {}, b""

    receiver.answer = gone
    with database.transaction():
        insert_post(database, "a")
        insert_post(database, "b")
    causes = "SELECT cause FROM lockstep_deadletter WHERE outcome IS NULL"
    eventually(lambda: len(database.execute(causes).fetchall()) == 2)
    assert set(database.execute(causes).fetchall()) == {("Gone: answered 410 Gone",)}
    eventually(lambda: len(attempts(people.owner, endpoint)) == 2)
    receiver.answer = lambda request: (204, {}, b"")
    switched = people.owner.client.patch(f"{PATH}{endpoint['id']}/", {"active": True}, content_type="application/json")
    assert switched.status_code == 200
    redelivery = f"{PATH}{endpoint['id']}/redeliver/"
    assert people.owner.post(redelivery, {"dead_letters": True}).status_code == 202
    events = eventually(lambda: len(receiver.ids) == 4 and receiver.ids)
    assert set(events[2:]) == set(events[:2])
    nothing = people.owner.post(redelivery, {"dead_letters": True})
    assert (nothing.status_code, nothing.json()) == (
        200,
        {"detail": "The endpoint has no dead letters. Nothing is sent."},
    )


def test_days_of_failure_disable_and_one_success_resets_them(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)

    def shown() -> dict[str, Any]:
        return people.owner.get(f"{PATH}{endpoint['id']}/").json()

    receiver.answer = lambda request: (400, {}, b"")
    insert_post(database, "a")
    eventually(lambda: shown()["failing_since"])
    receiver.answer = lambda request: (200, {}, b"")
    insert_post(database, "b")
    eventually(lambda: shown()["failing_since"] is None)
    receiver.answer = lambda request: (400, {}, b"")
    insert_post(database, "c")
    eventually(lambda: shown()["failing_since"])
    database.execute("UPDATE lockstep_webhooks_endpoint SET failing_since = now() - interval '6 days'")
    assert shown()["active"]
    insert_post(database, "d")
    eventually(lambda: not shown()["active"])
    assert shown()["reason"] == "failed for 5 days; the last time: answered 400"
    receiver.answer = lambda request: (200, {}, b"")
    people.owner.client.patch(f"{PATH}{endpoint['id']}/", {"active": True}, content_type="application/json")
    insert_post(database, "e")
    eventually(lambda: any(b'"e"' in request.body for request in receiver.requests))


def test_a_dead_receiver_does_not_delay_others(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        dead = Receiver(url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        make(people.colleague, dead)
        make(people.owner, receiver)
        for n in range(50):
            insert_post(database, f"{n}")
        eventually(lambda: len(receiver.requests) == 50)


def test_an_answer_counts_although_our_note_of_it_fails(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection, monkeypatch
):
    """The receiver has it: to send it again because our own statement failed would be a repeat of our making."""
    fails = Statement("SELECT 1 / (1 - count(*)) FROM lockstep_webhooks_endpoint WHERE id = %(id)s")
    monkeypatch.setattr(deliver, "SQL", {**deliver.SQL, "answered": fails})
    endpoint = make(people.owner, receiver)
    database.execute("UPDATE lockstep_webhooks_endpoint SET failing_since = now()")
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    assert (attempt["delivered"], attempt["number"]) == (True, 1)
    eventually(lambda: database.execute("SELECT FROM lockstep_lane").fetchone() is None)
    assert len(receiver.requests) == 1


def test_a_lost_secret_key_is_the_cause_of_the_attempt(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    endpoint = make(people.owner, receiver)
    database.execute("UPDATE lockstep_webhooks_endpoint SET secret = 'nonsense'")
    insert_post(database, "a")
    [attempt] = eventually(lambda: attempts(people.owner, endpoint))
    reason = "its secret cannot be decrypted: it was encrypted under another SECRET_KEY; rotate it"
    assert attempt["cause"] == f"RetryLater: {reason}"
    assert receiver.requests == []


def test_an_unreadable_change_leaves_no_attempt_where_the_secret_key_was_lost(
    people: Cast, receiver: Receiver, hooks: BackgroundWorker, database: psycopg.Connection
):
    """Attempts have type and time: they would show how many orders others make."""
    endpoint = make(people.colleague, receiver, "shop.order.*")
    database.execute("UPDATE lockstep_webhooks_endpoint SET secret = 'nonsense'")
    product = people.owner.post("/api/v1/products/", {"name": "x", "price": "1.00", "stock": 9}).json()["id"]
    order = {"lines": [{"product": product, "quantity": 1}]}
    assert people.owner.post("/api/v1/orders/", order).status_code == 201
    eventually(lambda: drained(database))
    assert attempts(people.colleague, endpoint) == []


def test_the_specifications_example_has_its_signature():
    destination = Destination("https://example.com/", ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signed_headers(destination, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', at)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
