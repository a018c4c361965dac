"""Whatever the description allows, and much that it does not, is answered as the description says.

Each case is a request against the application in this process, rolled back after it: an account may be deleted, and is
there for the next one. Where a case asks for some object, every other one gets one that there is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import schemathesis
import yaml
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from oauth2_provider.models import Application
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.python._constants.orchestrator import make_constants_value_source
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backend.accounts.models import User
from backend.accounts.sessions import open_opaque, open_pair
from backend.defects.actions import create_defect
from backend.movies.models import Catalogue, Movie, Rating
from backend.posts.models import Comment, Post
from backend.shop.catalogue.actions import create_product, create_tag
from backend.shop.orders.actions import Line, place_order
from backend.shop.orders.bags import put_in_bag
from lockstep.changes.connecting import connection_parameters
from lockstep.delivery.tests.support import begin_epoch
from lockstep.rest.handler import Handler
from lockstep.webhooks.actions import create_endpoint
from tests.security.strangers import CASES, MAX_ERROR_BYTES, SEED, Metered, Tally, least_cpu

CASES_OF_EACH = 5  # generated cases of each operation in the short form, beside the systematic ones
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
]  # and response_schema_conformance, but for the description itself: it takes a while to read, and is any object
PASSWORD = "a long one, please"


def described() -> Any:
    """The committed description, in which answers have no members but those that are described."""
    raw = yaml.load((Path(settings.BASE_DIR) / "docs" / "openapi.yaml").read_text(), yaml.CSafeLoader)
    for name, schema in raw["components"]["schemas"].items():
        if not name.endswith("Request") and "properties" in schema:
            schema["additionalProperties"] = False
    schema = schemathesis.openapi.from_dict(raw)
    schema.app = Metered(Handler())
    schema.config.generation.update(with_security_parameters=False)
    return schema


load_all_checks()
SchemathesisConfig.shared_seed = SEED  # of the long form; the short one is always the same
schema = described()
OPERATIONS = [found.ok() for found in schema.get_all_operations()]

common = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
short = hypothesis_settings(max_examples=CASES_OF_EACH, derandomize=True, **common)
long = hypothesis_settings(max_examples=max(1, CASES // len(OPERATIONS)), **common)
tally = Tally()  # of all operations


@dataclass(frozen=True)
class SchemaFixtures:
    """What there is, and how a case asks for it."""

    token: str
    path: Mapping[str, object]
    body: Mapping[str, object]
    answered: set[int] = field(default_factory=set)


@pytest.fixture
def connection_kept() -> Iterator[None]:
    """The end of a request would close the connection, and with it the transaction that the cases are in."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def epoch(db: None) -> Iterator[None]:
    """Committed, as streams see it: they have a connection of their own."""
    with psycopg.connect(**connection_parameters(), autocommit=True) as connection:
        begin_epoch(connection)
        yield
        connection.execute("DELETE FROM lockstep_epoch")


@pytest.fixture
def there(
    db: None, connection_kept: None, epoch: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SchemaFixtures]:
    """A staff user with the objects that cases need. Streams end after their first part."""
    monkeypatch.setattr("lockstep.feed.stream.LIFE_SECONDS", 0.0)
    monkeypatch.setattr("backend.shop.payments.views.tokenise_card", lambda **card: "tok_1")
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 10**9}
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD, is_staff=True)
    token, pair = open_opaque(user), open_pair(user)
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_METRICS_TOKEN": token}
    post = Post.objects.create(title="Hello", body="In step.")
    comment = Comment.objects.create(post=post, name="Ada", email="ada@example.com", body="So it is.")
    endpoint = create_endpoint(actor=f"user:{user.pk}", owner=user, url="https://example.com/hook", events=["*"])
    other = User.objects.create_user("grace", password=PASSWORD)
    Application.objects.create(
        client_id="lockstep-dev", client_type="public", authorization_grant_type="password", name="lockstep-dev"
    )
    product = create_product(actor="", owner=user, name="Bread", price=Decimal("2.50"), stock=1_000)
    product.refresh_from_db()
    tag = create_tag(actor="", name="food")
    order = place_order(actor="", buyer=user, lines=[Line(product.pk, 1)]).number
    put_in_bag(actor="", user=user, product=product, quantity=1)
    defect = create_defect(actor="", user=user, comment="The door does not close.")
    movie = Movie.objects.create(remote_id=UUID(int=1), title="The Quiet Harbour")
    unrated = Movie.objects.create(remote_id=UUID(int=2), title="The Last Signal")
    Catalogue.objects.update_or_create(id=1, defaults={"refreshed": timezone.now()})
    rating = Rating.objects.create(user=user, movie=movie, rating_type="UPVOTE").pk
    yield SchemaFixtures(
        token,
        path={
            "/api/v1/users": {"key": str(other.number)},
            "/api/v1/webhooks": {"key": str(endpoint.endpoint.pk)},
            "/api/v1/history": {"model": "posts.post", "object_id": str(post.number)},
            "/api/v1/products": {"key": str(product.pk), "object_id": str(product.pk), "tag": str(tag.pk)},
            "/api/v1/tags": {"tag": str(tag.pk)},
            "/api/v1/bag": {"key": str(product.number)},
            "/api/v1/orders": {"key": str(order)},
            "/api/v1/movies/ratings": {"key": str(rating)},
            "/api/v1/movies": {"key": str(movie.pk)},
            "/api/v1/defects": {"key": str(defect.pk), "object_id": str(defect.pk)},
            "/api/defects": {"key": str(defect.pk)},
            "/api/product": {"key": str(product.number)},
            "/fakeapi/v1/posts/{post_number}/comments": {"post_number": post.number, "number": comment.number},
            "/fakeapi": {"number": post.number},
            "/problems": {"name": "not-found"},
        },
        body={
            "/api/v1/movies/ratings": {"movie_id": str(unrated.pk), "rating_type": "UPVOTE"},
            "/auth": {"username": "ada", "password": PASSWORD},
            "/api/token": {"name": "ada", "password": PASSWORD},
            "/api/v1/auth/token/verify": {"token": token},
            "/api/v1/auth/verify": {"token": token},
            "/api/v1/auth/token/refresh": {"refresh": pair.refresh},
            "/api/v1/auth/refresh": {"refresh": pair.refresh},
            "/api/v1/auth/token": {"username": "ada", "password": PASSWORD},
            "DELETE /api/v1/users/me": {"password": PASSWORD},
            "/api/v1/users/me/password": {"current_password": PASSWORD, "new_password": "another long one"},
            "/oauth/introspect": {"token": token},
            "/oauth/token": {
                "grant_type": "password",
                "username": "ada",
                "password": PASSWORD,
                "client_id": "lockstep-dev",
                "scope": "read",
            },
            "/oauth/revoke_token": {"token": token, "client_id": "lockstep-dev"},
            "/api/v1/orders": {"lines": [{"product": str(product.pk), "quantity": 1}]},
            "/api/order": {"products": [{"id": product.number, "quantity": 1}]},
            "/api/v1/webhooks": {"url": "https://example.com/hook", "events": ["posts.post.*"]},
            "/api/v1/webhooks/{key}": {"description": "mine", "active": False},
        },
    )


each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)


@each_operation
def test_every_operation_answers_as_described(operation: APIOperation, there: SchemaFixtures):
    explore(operation, there, short)


@pytest.mark.faults
@each_operation
def test_every_operation_answers_as_described_at_length(operation: APIOperation, there: SchemaFixtures):
    explore(operation, there, long)
    tally.tell()


def explore(operation: APIOperation, there: SchemaFixtures, extent: hypothesis_settings) -> None:
    """All cases of one operation; they are not all refused: at least once it did what it is for.

    What `schema.parametrize()` does, but cases are made when their test runs, and not in each process at its start.
    """

    @extent
    def each(case: schemathesis.Case) -> None:
        ask(case, there)

    constants = FeedbackSources(constants_value_source=make_constants_value_source(schema))
    explored = build_operation_test(
        config=schema.config,
        operation=operation,
        test_func=each,
        given_kwargs={},
        feedback=constants,
    )
    explored()
    # Whatever was generated, what asks for no more than it must is answered.
    if operation.method.upper() == "GET" and not any(one.is_required for one in operation.query):
        ask(operation.Case(path_parameters={one.name: "" for one in operation.path_parameters}), there)
    assert any(status < 400 for status in there.answered), "each case was refused"


def ask(case: schemathesis.Case, there: SchemaFixtures) -> None:
    """Sends the case and holds the answer against the description; nothing of it stays."""
    case.path_parameters = {**(case.path_parameters or {}), **_known(there.path, case.path, case.path_parameters)}
    if isinstance(case.body, dict) and len(repr(case.body)) % 2:
        asked = (case.path, f"{case.method} {case.path}")
        case.body = next((value for path, value in there.body.items() if f"{path}/" in asked), case.body)
    if case.headers and len(case.headers.get("If-Match", ".")) % 2 == 0:
        case.headers["If-Match"] = "*"
    response = send_and_undo(case, there)
    cpu = least_cpu(schema.app.cpu, lambda: cpu_of(case, there), asked=case)
    error_bytes = len(response.content) if response.status_code >= 400 else 0
    assert error_bytes <= MAX_ERROR_BYTES, error_bytes
    tally.count(case.operation.label, cpu=cpu, error_bytes=error_bytes)
    name = case.operation.definition.raw["operationId"]
    there.answered.add(response.status_code)
    assert not undescribed_headers(case, response), (name, response.status_code)
    case.validate_response(response, checks=CHECKS if name == "get_schema" else [*CHECKS, response_schema_conformance])


def cpu_of(case: schemathesis.Case, there: SchemaFixtures) -> float:
    """Seconds that sending the case costs; nothing of it stays."""
    send_and_undo(case, there)
    return schema.app.cpu


def send_and_undo(case: schemathesis.Case, there: SchemaFixtures) -> Any:
    with transaction.atomic():
        response = case.call(headers={"Authorization": f"Bearer {there.token}"})
        transaction.set_rollback(True)
    return response


# Those that say something of an answer; all others are HTTP's own, or tell browsers to keep off.
TELLING = {
    *("age", "etag", "idempotent-replayed", "link", "ratelimit", "ratelimit-policy", "retry-after"),
    *("www-authenticate", "x-count", "x-request-id", "x-total-count"),
}


def undescribed_headers(case: schemathesis.Case, response: Any) -> set[str]:
    """The headers of an answer that its status is not described with."""
    described = case.operation.definition.raw["responses"].get(str(response.status_code))
    if described is None:  # 405 and 500, which any operation may answer
        return set()
    if "$ref" in described:
        described = schema.raw_schema["components"]["responses"][described["$ref"].rpartition("/")[2]]
    return (TELLING & {name.lower() for name in response.headers}) - {name.lower() for name in described["headers"]}


def _known(all_known: Mapping[str, Any], path: str, generated: Mapping[str, object] | None) -> dict[str, object]:
    known = next((value for prefix, value in all_known.items() if path.startswith(prefix)), {})
    return {
        name: value
        for name, value in known.items()
        if name in (generated or {}) and _is_any_of_its_kind((generated or {})[name])
    }


def _is_any_of_its_kind(value: object) -> bool:
    """Whether some value was meant, whatever it is, every other time."""
    if isinstance(value, int):
        return value % 2 == 0
    try:
        return UUID(str(value)).int % 2 == 0
    except ValueError:
        return len(str(value)) % 2 == 0
