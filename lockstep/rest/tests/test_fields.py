"""Fields accept what the OpenAPI document says, and change no value silently."""

from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework import serializers

from backend.accounts.serializers import Password, SignInName
from backend.posts.models import Post
from lockstep.rest import fields
from lockstep.rest.serializers import StrictSerializer
from tests.support import Cast

pytestmark = pytest.mark.django_db

PRODUCTS = "/api/v1/products/"
PRODUCT = {"name": "Bread", "price": "2.50", "stock": 5}
STRICT = (fields.Text, fields.Integer, fields.DecimalNumber, fields.Uuid, fields.Moment, fields.Boolean)
LOOSE = (
    serializers.CharField,
    serializers.IntegerField,
    serializers.DecimalField,
    serializers.UUIDField,
    serializers.DateTimeField,
    serializers.BooleanField,
)
# What signs in is compared with what is stored, and kept nowhere; a choice is one of its names.
EXCEPT = (Password, SignInName, serializers.ChoiceField, serializers.RegexField)


@pytest.mark.parametrize("value", [1, 12, "12", 0, "0", 10**12])
def test_valid_integers_are_accepted(cast: Cast, value: object):
    assert cast.owner.post(PRODUCTS, {**PRODUCT, "stock": value}).json()["stock"] == int(str(value))


@pytest.mark.parametrize(
    "value",
    [
        "1_0",
        " 5 ",
        "+5",
        "5\n",
        "\u0665",
        "\uff11",
        "1e2",
        1e2,
        1.0,
        "1.0",
        True,
        "0x5",
        "007",
        "-0",
        "",
        None,
        [5],
        10**13,
    ],
)
def test_invalid_integers_are_400(cast: Cast, value: object):
    answer = cast.owner.post(PRODUCTS, {**PRODUCT, "stock": value})
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, ["stock"])
    answer = cast.owner.post("/api/v1/orders/", {"lines": [{"product": 1, "quantity": value}]})
    assert answer.status_code == 400
    assert "lines.0.quantity" in [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("value", "shown"),
    [("2.5", "2.50"), ("2", "2.00"), (2, "2.00"), (2.5, "2.50"), ("0.00", "0.00"), ("9999999999.99", "9999999999.99")],
)
def test_valid_prices_are_accepted(cast: Cast, value: object, shown: str):
    assert cast.owner.post(PRODUCTS, {**PRODUCT, "price": value}).json()["price"] == shown


@pytest.mark.parametrize(
    "value",
    [
        "1_0.5",
        "\u0661\u0662.\u0665",
        " 2.5",
        "2.5\n",
        "+2.5",
        "1e2",
        "NaN",
        "Infinity",
        "2.",
        ".5",
        "2,5",
        True,
        "2.555",
        "-1",
        "-0",
        "-0.00",
        -1,
        "",
    ],
)
def test_invalid_prices_are_400(cast: Cast, value: object):
    answer = cast.owner.post(PRODUCTS, {**PRODUCT, "price": value})
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, ["price"])


@pytest.mark.parametrize("value", ["  x", "x  ", "\tx\n", "x\u00a0", "a  b"])
def test_a_text_is_stored_as_sent(cast: Cast, value: str):
    assert cast.owner.post("/fakeapi/v1/posts/create/", {"title": value, "body": value}).json()["title"] == value
    assert Post.objects.get().title == value
    assert cast.owner.post(PRODUCTS, {**PRODUCT, "name": value, "description": " "}).json()["name"] == value
    assert cast.owner.post("/api/v1/defects/", {"comment": value}).json()["comment"] == value


@pytest.mark.parametrize("value", ["", " ", "\t\n", "\u00a0"])
def test_nothing_but_whitespace_is_blank(cast: Cast, value: str):
    answer = cast.owner.post("/fakeapi/v1/posts/create/", {"title": value, "body": value})
    assert [error["field"] for error in answer.json()["errors"]] == ["title", "body"]


@pytest.mark.parametrize("value", [5, 1.5, True, ["x"], {}])
def test_invalid_texts_are_400(cast: Cast, value: object):
    answer = cast.owner.post("/api/v1/defects/", {"comment": value})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "comment")


def test_an_unknown_field_does_not_hide_other_errors(cast: Cast):
    answer = cast.owner.post(PRODUCTS, {"colour": "red", "price": "1_0", "stock": "x"})
    assert sorted(error["field"] for error in answer.json()["errors"]) == ["colour", "name", "price", "stock"]
    answer = cast.owner.post("/api/v1/orders/", {"lines": [{"product": "x", "quantity": 0, "colour": 1}], "shade": 1})
    assert sorted(error["field"] for error in answer.json()["errors"]) == [
        "lines.0.colour",
        "lines.0.product",
        "lines.0.quantity",
        "shade",
    ]


@pytest.mark.parametrize("name", [" red", "red ", "\u00a0red", "red\u3000"])
def test_a_tag_has_no_space_at_its_ends(cast: Cast, name: str):
    refused = cast.staff.post("/api/v1/tags/", {"name": name})
    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (400, ["name"])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (PRODUCTS, {**PRODUCT, "state": "OFF_SALE"}, "state"),
        (PRODUCTS, {**PRODUCT, "tags": ["red"]}, "tags"),
        (PRODUCTS, {**PRODUCT, "owner": "x"}, "owner"),
        ("/api/product/", {**PRODUCT, "id": 7}, "id"),
    ],
)
def test_a_creation_refuses_read_only_fields(cast: Cast, path: str, body: dict, field: str):
    refused = cast.owner.post(path, body)
    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (400, [field])


@pytest.mark.parametrize(
    ("name", "value"), [("number", 0), ("id", "x"), ("created", None), ("owner", ""), ("tags", ["x"])]
)
def test_a_read_only_field_is_sent_back_as_it_is_or_refused(cast: Cast, name: str, value: object):
    made = cast.owner.post(PRODUCTS, PRODUCT).json()
    path = f"{PRODUCTS}{made['id']}/"
    refused = cast.owner.client.patch(path, {**made, "name": "Rolls", name: value}, content_type="application/json")
    assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (400, [name])
    changed = cast.owner.client.patch(path, {**made, "name": "Rolls"}, content_type="application/json")
    assert (changed.status_code, changed.json()["name"]) == (200, "Rolls")


def test_read_only_fields_are_refused_by_every_route_that_changes_something(cast: Cast):
    hook = cast.owner.post("/api/v1/webhooks/", {"url": "https://example.com/x", "events": ["*"]}).json()
    tag = cast.staff.post("/api/v1/tags/", {"name": "red"}).json()
    defect = cast.owner.post("/api/v1/defects/", {"comment": "x"}).json()
    product = cast.owner.post("/api/product/", PRODUCT).json()
    changes = [
        ("patch", "/api/v1/users/me/", {"number": 0}),
        ("patch", f"/api/v1/webhooks/{hook['id']}/", {"reason": "because"}),
        ("patch", f"/api/v1/tags/{tag['id']}/", {"id": hook["id"]}),
        ("patch", f"/api/v1/defects/{defect['id']}/", {"comment": "y", "user": 0}),
        ("put", f"/api/defects/{defect['id']}/", {"comment": "y", "number": 0}),
        ("put", f"/api/product/{product['id']}", {**PRODUCT, "id": 0}),
    ]
    for method, path, body in changes:
        client = (cast.staff if "tags" in path else cast.owner).client
        answer = getattr(client, method)(path, body, content_type="application/json")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, list(body)[-1]), path


def test_every_serializer_uses_the_strict_fields():
    """Every field that is written is one of the strict ones."""
    loose = [
        f"{serializer.__name__}.{name}"
        for serializer in _all(StrictSerializer)
        for name, field in _written(serializer()._declared_fields)
        if isinstance(field, LOOSE) and not isinstance(field, (*STRICT, *EXCEPT))
    ]
    assert loose == []
    assert "CredentialsSerializer" in {serializer.__name__ for serializer in _all(StrictSerializer)}


def _all(kind: type) -> Iterator[Any]:
    for one in kind.__subclasses__():
        if one.__module__.startswith(("backend.", "lockstep.")) and ".tests." not in one.__module__:
            yield one
        yield from _all(one)


def _written(declared: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, field in declared.items():
        if not field.read_only:
            yield name, getattr(field, "child", field)
