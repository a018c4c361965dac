"""`webhooks` of the OpenAPI document: each event type has its schema, and what a receiver gets has that of its type."""

from copy import deepcopy
from decimal import Decimal
from typing import Any
from uuid import UUID

import jsonschema
import psycopg
import pytest
from django.conf import settings
from django.db.models import JSONField
from django.db.models.functions import Now

from backend.accounts.models import Follow, User
from backend.defects.models import Defect
from backend.movies.models import Movie, Rating
from backend.posts.models import Comment, Post
from backend.shop.models import Bag, Order, Product, ProductTag, Tag
from backend.shop.orders.actions import cancel_order
from lockstep.changes.capture import captures
from lockstep.changes.readers import event_types
from lockstep.console.models import Operation
from lockstep.webhooks import deliver
from lockstep.webhooks.actions import create_endpoint
from lockstep.webhooks.models import Endpoint
from lockstep.webhooks.tests.conftest import receiver as receiver
from lockstep.webhooks.tests.receiver import Receiver
from tests import schema_fixtures
from tests.schema_fixtures import description
from tests.support import BackgroundWorker, Cast, Person, drained, eventually

PATH = "/api/v1/webhooks/"
# Which is done to each kind of object. The others are written once, or changed together with one of these.
CHANGES: tuple[tuple[Any, dict[str, object]], ...] = (
    (User, {"first_name": "Grace"}),
    (Post, {"title": "Changed"}),
    (Comment, {"body": "So it was."}),
    (Endpoint, {"description": "The search index."}),
    (Product, {"price": Decimal("3.10"), "state": "OFF_SALE"}),
    (Tag, {"description": "Can be eaten."}),
    (Defect, {"comment": "It closes."}),
    (Movie, {"rating": 7.5, "image_url": "https://images.example/1.jpg"}),
    (Rating, {"rating_type": "DOWNVOTE"}),
)
DELETED = (Rating, Follow, ProductTag, Comment, Post, Defect, Movie, Tag, Product)
NEVER_SEEN = {
    *(f"{label}.updated" for label in ("accounts.follow", "shop.producttag", "lockstep_console.operation")),
    *(f"{label}.deleted" for label in ("accounts.user", "lockstep_console.operation")),
    *(f"{label}.deleted" for label in ("lockstep_webhooks.endpoint", "shop.bag", "shop.order")),
}


def schema_of(name: str) -> dict[str, Any]:
    """The schema of an event, in which documents have no columns but those that are described."""
    document = deepcopy(description())
    for component, schema in document["components"]["schemas"].items():
        if component.endswith("Columns"):
            schema["additionalProperties"] = False
    body = document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]
    return {**body["schema"], "components": document["components"]}


def check(event: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(
        schema_of(event["type"]), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(event)


def test_each_event_type_has_a_message():
    webhooks = description()["webhooks"]
    assert set(webhooks) == {*event_types(is_staff=True), f"{deliver.TEST}.created"}
    assert [set(item) for item in webhooks.values()] == [{"post"}] * len(webhooks)


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"type": "posts.post.deleted"}, True),
        ({"data": {"id": "7", "before": None, "after": None}}, True),
        ({"data": {"id": "7", "before": None, "after": {"title": "t", "body": "b", "number": 7}}}, True),
        ({}, False),
    ],
)
def test_a_schema_refuses_what_is_no_event_of_its_type(changed: dict[str, Any], refused: bool):
    after = {"title": "t", "body": "b", "number": 7, "user_id": 1}
    data = {"id": "7", "before": None, "after": after}
    event = {"type": "posts.post.created", "timestamp": "2026-01-31T12:00:00Z", "data": data} | changed
    validator = jsonschema.Draft202012Validator(schema_of("posts.post.created"))
    assert bool(list(validator.iter_errors(event))) is refused


def test_each_json_column_has_a_schema():
    schemas = {schema.get("description"): schema for schema in description()["components"]["schemas"].values()}
    columns = {
        f"{capture.label}.{name}": schemas[f"The captured columns of {capture.label}."]["properties"][name]
        for capture in captures()
        for name in capture.columns
        if isinstance(capture.model._meta.get_field(name), JSONField)
    }
    assert columns
    assert [name for name, schema in columns.items() if "type" not in schema] == []


@pytest.mark.parametrize("wrong", [{"price": 2.5}, {"product": 7}, {"quantity": 0}])
def test_a_line_of_an_order_has_a_schema(wrong: dict[str, object]):
    line = {"product": str(UUID(int=1)), "number": 1, "name": "n", "price": "2.50", "quantity": 1}
    validator = jsonschema.Draft202012Validator(description()["components"]["schemas"]["ShopOrderColumns"])

    def errors(changed: dict[str, object]) -> list[str]:
        found = validator.iter_errors({"lines": [line | changed]})
        return [error.json_path for error in found if error.json_path.startswith("$.lines")]

    assert errors({}) == []
    assert errors(wrong) == [f"$.lines[0].{next(iter(wrong))}"]


@pytest.fixture
def hooks(worker: BackgroundWorker, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> BackgroundWorker:
    """A worker that delivers to endpoints alone, over plain http."""
    monkeypatch.setattr(settings, "DEBUG", True)
    database.execute("DELETE FROM lockstep_subscription")
    worker.subscribers, worker.families = [], [deliver.ENDPOINTS]
    return worker.start()


@pytest.mark.slow
def test_what_a_receiver_gets_has_the_schema_of_its_type(
    hooks: BackgroundWorker, receiver: Receiver, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    people = Cast.make()
    staff, outsider = (endpoint(person, receiver) for person in (people.staff, people.outsider))
    write_one_of_each(receiver, monkeypatch)
    eventually(lambda: drained(database))
    change_and_delete()
    assert people.staff.post(f"{PATH}{staff['id']}/test/", {}).status_code == 202
    eventually(lambda: any(b"webhooks.test.created" in request.body for request in receiver.requests))
    eventually(lambda: drained(database))
    events = {secret: [] for secret in (staff["secret"], outsider["secret"])}
    for request in receiver.requests:
        for secret, of_endpoint in events.items():
            if request.is_signed_by(secret):
                of_endpoint.append(request.verified(secret))
    for of_endpoint in events.values():
        for event in of_endpoint:
            check(event)
    seen = {event["type"] for event in events[staff["secret"]]}
    assert seen == set(description()["webhooks"]) - NEVER_SEEN
    of_others = {event["type"] for event in events[outsider["secret"]]}
    assert {"posts.comment.created", "shop.product.deleted", "movies.movie.updated"} <= of_others
    assert not {"accounts.user.created", "shop.order.created"} & of_others


def endpoint(person: Person, receiver: Receiver) -> dict[str, Any]:
    made = person.post(PATH, {"url": receiver.url, "events": ["*"]})
    assert made.status_code == 201, made.content
    body: dict[str, Any] = made.json()
    return body


def write_one_of_each(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of each captured model."""

    def create_ours(**options: Any) -> Any:
        return create_endpoint(**{**options, "url": receiver.url, "events": ["posts.post.created"]})

    monkeypatch.setattr(schema_fixtures, "create_endpoint", create_ours)
    schema_fixtures.make()
    ada, grace = (User.objects.get(username=name) for name in ("ada", "grace"))
    Follow.objects.create(follower=grace, followed=ada)
    ProductTag.objects.create(product=Product.objects.get(), tag=Tag.objects.get())
    Operation.objects.create(actor="", kind="pause", subscription="posts", outcome="It is paused.")


def change_and_delete() -> None:
    """Changes an object of each model that can be changed, and deletes those that can be deleted."""
    order = Order.objects.get()
    cancel_order(actor="", order=order)
    Bag.objects.update(state="ORDERED", order=order)
    for model, values in CHANGES:
        model.objects.filter(pk=model.objects.latest("created").pk).update(**values)
    for model in DELETED:
        model.objects.update(deleted=Now())
