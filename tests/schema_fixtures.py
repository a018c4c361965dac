"""The OpenAPI description, and the objects that its requests need: for the suites that go through all of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import yaml
from django.conf import settings
from django.utils import timezone
from oauth2_provider.models import Application

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
from lockstep.rest.tests.test_schema import VALUES
from lockstep.webhooks.actions import create_endpoint
from tests.security.strangers import connection_kept

PASSWORD = "a long one, please"


@dataclass(frozen=True)
class SchemaFixtures:
    """A staff user's token, and the values of parameters and bodies that name objects, by the paths that take them."""

    token: str
    path: Mapping[str, Mapping[str, object]]
    body: Mapping[str, object]
    answered: set[int] = field(default_factory=set)

    def target(self, path: str) -> str:
        """A path of the description with an object that there is."""
        known = next((value for prefix, value in self.path.items() if path.startswith(prefix)), {})
        return path.format_map({**{name[1:-1]: value for name, value in VALUES.items()}, **known})


@cache
def description() -> dict[str, Any]:
    """The committed OpenAPI document."""
    text = (Path(settings.BASE_DIR) / "docs" / "openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return document


@pytest.fixture
def fixtures(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SchemaFixtures]:
    """Streams end after their first part, and nothing counts requests."""
    monkeypatch.setattr("lockstep.feed.stream.LIFE_SECONDS", 0.0)
    monkeypatch.setattr("backend.shop.payments.views.tokenise_card", lambda **card: "tok_1")
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 10**9}
    with connection_kept(), committed_epoch():
        made = make()
        settings.LOCKSTEP = settings.LOCKSTEP | {"REST_METRICS_TOKEN": made.token}
        yield made


@contextmanager
def committed_epoch() -> Iterator[None]:
    """As streams see it: they have a connection of their own."""
    with psycopg.connect(**connection_parameters(), autocommit=True) as connection:
        begin_epoch(connection)
        try:
            yield
        finally:
            connection.execute("DELETE FROM lockstep_epoch")


def make() -> SchemaFixtures:
    """A staff user, and one of each object."""
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD, is_staff=True)
    token, pair = open_opaque(user), open_pair(user)
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
    return SchemaFixtures(
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
