"""What is refused says what to do instead, and a command what it did."""

import re
from base64 import b64encode
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from oauth2_provider.models import Application

from backend.accounts import sessions
from backend.shop.catalogue.actions import create_tag
from backend.shop.models import Product, ProductTag, Tag
from tests.schema_fixtures import description
from tests.security.test_authorisation_matrix import made_by
from tests.support import Cast

pytestmark = pytest.mark.django_db

SAFELISTED = {
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
}


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"expiry": "2040-12"}, "payment.expiry", "Must be MM/YY, such as 12/40."),
        ({"expiry": ""}, "payment.expiry", "Must be MM/YY, such as 12/40."),
        ({"cvc": "12"}, "payment.cvc", "Must be three or four digits."),
        ({"card_number": "4242"}, "payment.card_number", "Must be the digits of a card, with or without spaces."),
    ],
)
def test_invalid_card_field_is_named_with_its_format(cast: Cast, change: dict[str, str], field: str, sentence: str):
    order = made_by(cast.owner.user)["order"]
    card = {"card_number": "4242424242424242", "expiry": "12/40", "cvc": "123", **change}
    answer = cast.owner.post(f"/api/v1/orders/{order}/confirm/", {"payment": card})
    assert answer.json()["errors"] == [{"field": field, "detail": sentence}]


@pytest.mark.parametrize("path", ["/api/v1/products/", "/nowhere/"])
def test_a_host_that_is_not_allowed_is_named(cast: Cast, path: str):
    answer = cast.owner.client.get(path, headers={"host": "shop.example.org"})
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["detail"] == (
        "This server does not serve the host 'shop.example.org'. ALLOWED_HOSTS lists its hosts."
    )


def test_probe_answers_for_any_host():
    assert Client().get("/healthz", headers={"host": "shop.example.org"}).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("get", "/api/v1/changes/"), ("post", "/api/v1/tags/")])
def test_operations_for_staff_are_described_as_such(cast: Cast, method: str, path: str):
    answer = getattr(cast.owner.client, method)(path)
    assert answer.status_code == 403
    assert "staff" in answer.json()["detail"]


@pytest.mark.parametrize("scheme", ["Token {}", "{}", "JWT {}", "Basic {}"])
def test_another_scheme_is_401_with_a_bearer_challenge(cast: Cast, scheme: str):
    secret = sessions.open_opaque(cast.owner.user)
    answer = Client().get("/api/v1/users/me/", headers={"authorization": scheme.format(secret)})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "Send the token as `Authorization: Bearer <token>`."


# --- Introspection (RFC 7662) -----------------------------------------------------------------------------


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()}


def introspect(token: str, headers: dict[str, str]) -> Any:
    form = "application/x-www-form-urlencoded"
    return Client().post("/oauth/introspect/", f"token={token}", content_type=form, headers=headers)


def application(kind: str) -> Application:
    return Application.objects.create(
        client_id=f"a-{kind}-client",
        client_secret="s3cret",
        client_type=kind,
        authorization_grant_type="password",
    )


def test_confidential_client_introspects_by_its_secret(cast: Cast):
    headers = basic(application("confidential").client_id, "s3cret")
    token = sessions.open_opaque(cast.owner.user)
    answer = introspect(token, headers)
    assert (answer.status_code, answer.json()["active"], answer.json()["username"]) == (200, True, "owner")
    assert answer["Cache-Control"] == "no-store"
    assert introspect("unknown", headers).json() == {"active": False}


@pytest.mark.parametrize(("kind", "secret"), [("confidential", "wrong"), ("confidential", ""), ("public", "s3cret")])
def test_client_without_its_secret_introspects_nothing(cast: Cast, kind: str, secret: str):
    answer = introspect(sessions.open_opaque(cast.owner.user), basic(application(kind).client_id, secret))
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Basic realm="lockstep"')


@pytest.mark.parametrize(
    "credentials", ["", "x", "!!!", b64encode(b"no colon").decode(), b64encode(b"\xff:\xff").decode()]
)
def test_basic_that_cannot_be_read_introspects_nothing(cast: Cast, credentials: str):
    answer = introspect("x", {"authorization": f"Basic {credentials}"})
    assert answer.status_code == 401


# --- Tags -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Lighting", "LIGHTING", "lighting"])
def test_tag_of_a_product_is_named_as_the_filter_names_it(cast: Cast, name: str):
    product = Product.objects.get(pk=made_by(cast.owner.user)["product"])
    tag = create_tag(actor="", name="lighting")
    path = f"/api/v1/products/{product.number}/tags/{name}/"
    assert cast.owner.put(path, {}).status_code == 204
    assert ProductTag.objects.alive().filter(product=product, tag=tag).exists()
    assert cast.owner.get(f"/api/v1/products/?tag={name}").json()["results"]
    assert cast.owner.delete(path).status_code == 204
    assert not ProductTag.objects.alive().filter(product=product, tag=tag).exists()


def test_tag_is_read_and_renamed_by_its_name(cast: Cast):
    create_tag(actor="", name="lighting")
    answer = cast.staff.client.patch("/api/v1/tags/lighting/", {"name": "lamps"}, content_type="application/json")
    assert (answer.status_code, answer.json()["name"]) == (200, "lamps")
    assert cast.owner.get("/api/v1/tags/lamps/").status_code == 200
    assert cast.owner.get("/api/v1/tags/lighting/").status_code == 404
    assert cast.owner.get("/api/v1/tags/a%00b/").status_code == 404


def test_tag_whose_name_is_the_id_of_another_is_the_other(cast: Cast):
    other = create_tag(actor="", name="other")
    create_tag(actor="", name=str(other.pk))
    assert cast.owner.get(f"/api/v1/tags/{other.pk}/").json()["name"] == "other"
    assert Tag.objects.count() == 2


def test_id_is_the_first_member_of_a_created_object(cast: Cast):
    """The commands of docs/backend.md read it there."""
    product = cast.owner.post("/api/v1/products/", {"name": "Red bicycle", "price": "249.90", "stock": 3})
    key = product.content.decode().split('"')[3]
    order = cast.owner.post("/api/v1/orders/", {"lines": [{"product": key, "quantity": 2}]})
    assert (key, order.content.decode().split('"')[3]) == (product.json()["id"], order.json()["id"])


# --- What pages of other origins may read and send ----------------------------------------------------------


def described_headers() -> set[str]:
    answers = [
        answer
        for item in description()["paths"].values()
        for one in item.values()
        for answer in one["responses"].values()
    ]
    answers += description()["components"]["responses"].values()
    named = {name for answer in answers for name in answer.get("headers", {})}
    spoken_of = {name for name in ("Allow", "Age") if re.search(rf"`{name}`", str(description()))}
    return {name.lower() for name in named | spoken_of | set(description()["components"]["headers"])}


def test_pages_of_other_origins_may_read_every_described_header():
    assert described_headers() - SAFELISTED - set(settings.CORS_EXPOSE_HEADERS) == set()
    assert {"age", "etag"} <= described_headers()


def _parameters_of_webhooks() -> list[dict[str, str]]:
    return [one for item in description()["webhooks"].values() for one in item["post"]["parameters"]]


def test_pages_of_other_origins_may_send_every_described_header():
    parameters = [
        one for item in description()["paths"].values() for each in item.values() for one in each.get("parameters", ())
    ]
    ours = {each["$ref"].rpartition("/")[2] for each in _parameters_of_webhooks()}  # which no page sends
    parameters += [one for name, one in description()["components"]["parameters"].items() if name not in ours]
    sent = {one["name"].lower() for one in parameters if one.get("in") == "header"}
    assert sent - set(settings.CORS_ALLOW_HEADERS) == set()


def test_no_summary_has_marks_that_nothing_renders():
    summaries = [one["summary"] for item in description()["paths"].values() for one in item.values()]
    assert [summary for summary in summaries if re.search(r"[`*_]\w+[`*_]", summary)] == []
