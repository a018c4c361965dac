"""Entitlement over time: what is withdrawn, at each step of what a user does.

A request is authenticated by its headers and writes later. Whatever is withdrawn in between holds for the write: it
commits before the withdrawal, or is refused and leaves nothing.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.utils import timezone
from psycopg_pool import AsyncConnectionPool

from backend.accounts import actions, sessions
from backend.accounts.models import Follow, Session, Token, User
from backend.entities import admin_site
from backend.movies.models import Movie
from backend.shop.catalogue import reads
from backend.shop.models import Order, Product, Tag
from backend.shop.orders.actions import expire_orders
from conftest import database_url
from lockstep.changes import attribution
from lockstep.changes.models import LoggedChange
from lockstep.delivery.subscriptions import Change, Claim
from lockstep.delivery.tests.support import begin_epoch
from lockstep.feed import stream
from lockstep.rest.views import View
from lockstep.webhooks.deliver import EndpointHandler
from lockstep.webhooks.models import Endpoint
from tests.support import Cast, Person, eventually

pytestmark = pytest.mark.django_db(transaction=True)

PRODUCT = {"name": "Tea", "price": "1.00", "stock": 5}
WEBHOOK = {"url": "https://example.com/hook", "events": ["posts.post.*"]}


# --- What is withdrawn: each in a transaction of its own ------------------------------------------------------


def revoke_token(user: User) -> None:
    Session.objects.filter(user=user).revoke()


def expire_session(user: User) -> None:
    with psycopg.connect(database_url()) as own:
        own.execute("UPDATE accounts_session SET expires = now() - interval '1 second' WHERE user_id = %s", [user.pk])


def change_password(user: User) -> None:
    actions.change_password(actor="test", user=User.objects.get(pk=user.pk), session=None, new="another long one")


def take_staff(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=False)


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def delete_account(user: User) -> None:
    actions.delete_account(actor="test", user=User.objects.get(pk=user.pk))


Withdrawal = Callable[[User], None]
OF_ACCOUNT: list[Withdrawal] = [revoke_token, expire_session, change_password, deactivate, delete_account]
WITHDRAWALS = [*OF_ACCOUNT, take_staff]


# --- What users write -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shop:
    """The objects of the requests, made by the colleague."""

    product: Product
    tag: Tag
    movie: Movie

    @classmethod
    def make(cls, cast: Cast) -> "Shop":
        product = Product.objects.create(owner=cast.colleague.user, name="Coffee", price="2.00", stock=10)
        movie = Movie.objects.create(remote_id="0190163d-8694-739b-aea5-966c26f8ad91", title="M")
        return cls(product, Tag.objects.create(name="hot"), movie)


Write = Callable[[Person, Shop], Any]
WRITES: dict[str, Write] = {
    "post": lambda who, shop: who.post("/fakeapi/v1/posts/create/", {"title": "t", "body": "b"}),
    "product": lambda who, shop: who.post("/api/v1/products/", PRODUCT),
    "numbered product": lambda who, shop: who.post("/api/product/", PRODUCT),
    "order": lambda who, shop: who.post(
        "/api/v1/orders/", {"lines": [{"product": str(shop.product.pk), "quantity": 1}]}
    ),
    "final order": lambda who, shop: who.post(
        "/api/order/", {"products": [{"id": shop.product.number, "quantity": 1}]}
    ),
    "bag": lambda who, shop: who.put(f"/api/v1/bag/items/{shop.product.pk}/", {"quantity": 1}),
    "webhook": lambda who, shop: who.post("/api/v1/webhooks/", WEBHOOK),
    "follow": lambda who, shop: who.post(f"/api/v1/users/{shop.product.owner_id}/follow/", {}),
    "defect": lambda who, shop: who.post("/api/v1/defects/", {"comment": "broken"}),
    "rating": lambda who, shop: who.post(
        "/api/v1/movies/ratings/", {"movie_id": str(shop.movie.pk), "rating_type": "UPVOTE"}
    ),
    "profile": lambda who, shop: who.client.patch(
        "/api/v1/users/me/", {"first_name": "Other"}, content_type="application/json"
    ),
}
STAFF_WRITES: dict[str, Write] = {
    "tag": lambda who, shop: who.post("/api/v1/tags/", {"name": "cold"}),
    "renamed tag": lambda who, shop: who.client.patch(
        f"/api/v1/tags/{shop.tag.pk}/", {"name": "warm"}, content_type="application/json"
    ),
}


def written_by(user: User) -> int:
    """Changes in the log that name this user as their actor."""
    return LoggedChange.objects.filter(actor=f"user:{user.pk}").count()


def belongs_to_deleted() -> list[Any]:
    """Rows that are there although the user whom they belong to is not."""
    gone = User.objects.exclude(deleted=None).values("pk")
    return [
        *Endpoint.objects.alive().filter(owner__in=gone),
        *Follow.objects.alive().filter(follower__in=gone),
        *Follow.objects.alive().filter(followed__in=gone),
        *Session.objects.filter(user__in=gone),
        *Order.objects.filter(buyer__in=gone, created__gt=F("buyer__deleted")),
    ]


@contextmanager
def between_authentication_and_action(monkeypatch: pytest.MonkeyPatch, what: Callable[[], None]) -> Iterator[None]:
    """Withdraws once a request is authenticated and its rights are checked, before its method is called."""
    check = View.check_throttles  # the last step before the handler

    def later(self: View, request: Any) -> None:
        monkeypatch.setattr(View, "check_throttles", check)
        what()
        check(self, request)

    monkeypatch.setattr(View, "check_throttles", later)
    yield
    monkeypatch.setattr(View, "check_throttles", check)


class Withdrawing(threading.Thread):
    """A withdrawal on a connection of its own."""

    def __init__(self, what: Withdrawal, user: User) -> None:
        super().__init__(daemon=True)
        self.what, self.user = what, user
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.what(self.user)
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    def finish(self) -> None:
        self.join(30)
        assert not self.is_alive(), "the withdrawal still waits"
        assert self.error is None, self.error


def waiting(database: psycopg.Connection) -> int:
    """How many sessions wait for a lock."""
    row = database.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted").fetchone()
    return row[0] if row else 0


@pytest.fixture
def shop(cast: Cast) -> Shop:
    return Shop.make(cast)


# --- Before the headers, and between authentication and the action --------------------------------------------


@pytest.mark.parametrize("withdrawal", OF_ACCOUNT)
@pytest.mark.parametrize("write", WRITES)
def test_write_is_refused_when_the_right_goes_after_authentication(
    cast: Cast, shop: Shop, monkeypatch: pytest.MonkeyPatch, withdrawal: Withdrawal, write: str
):
    before = written_by(cast.owner.user)
    with between_authentication_and_action(monkeypatch, lambda: withdrawal(cast.owner.user)):
        refused = WRITES[write](cast.owner, shop)
    assert refused.status_code == 401, refused.content
    assert refused.json()["type"] == "/problems/unauthenticated"
    assert refused["WWW-Authenticate"].startswith("Bearer")
    assert written_by(cast.owner.user) == before
    assert Product.objects.get(pk=shop.product.pk).stock == 10
    assert WRITES[write](cast.owner, shop).status_code == 401  # before the headers
    assert not belongs_to_deleted()


@pytest.mark.parametrize("withdrawal", WITHDRAWALS)
@pytest.mark.parametrize("write", STAFF_WRITES)
def test_staff_write_is_refused_when_the_right_goes_after_authentication(
    cast: Cast, shop: Shop, monkeypatch: pytest.MonkeyPatch, withdrawal: Withdrawal, write: str
):
    with between_authentication_and_action(monkeypatch, lambda: withdrawal(cast.staff.user)):
        refused = STAFF_WRITES[write](cast.staff, shop)
    status = 403 if withdrawal is take_staff else 401
    assert refused.status_code == status, refused.content
    assert written_by(cast.staff.user) == 0
    assert STAFF_WRITES[write](cast.staff, shop).status_code == status


@pytest.mark.parametrize("withdrawal", WITHDRAWALS)
def test_replay_is_refused_when_the_right_goes_after_authentication(
    cast: Cast, shop: Shop, monkeypatch: pytest.MonkeyPatch, withdrawal: Withdrawal
):
    def create() -> Any:
        headers = {"idempotency-key": "k"}
        return cast.staff.client.post(
            "/api/v1/tags/", {"name": "cold"}, content_type="application/json", headers=headers
        )

    assert create().status_code == 201
    assert create()["Idempotent-Replayed"] == "true"
    with between_authentication_and_action(monkeypatch, lambda: withdrawal(cast.staff.user)):
        refused = create()
    assert refused.status_code == (403 if withdrawal is take_staff else 401)
    assert "Idempotent-Replayed" not in refused


@pytest.mark.parametrize("withdrawal", [change_password, deactivate, delete_account, take_staff])
def test_write_of_the_admin_is_refused_when_the_right_goes_after_authentication(
    cast: Cast, shop: Shop, monkeypatch: pytest.MonkeyPatch, withdrawal: Withdrawal
):
    client = Client(raise_request_exception=False)
    client.force_login(cast.staff.user)
    begin = admin_site._account_locked

    def withdrawn(request: Any) -> Any:
        withdrawal(cast.staff.user)
        return begin(request)

    monkeypatch.setattr(admin_site, "_account_locked", withdrawn)
    refused = client.post(f"/admin/shop/tag/{shop.tag.pk}/change/", {"name": "warm", "description": ""})
    assert refused.status_code == 403
    assert Tag.objects.get(pk=shop.tag.pk).name == "hot"
    monkeypatch.setattr(admin_site, "_account_locked", begin)
    again = client.post(f"/admin/shop/tag/{shop.tag.pk}/change/", {"name": "warm", "description": ""})
    assert again.status_code == 302 and "/login/" in again["Location"]


# --- Inside the action, before it commits ---------------------------------------------------------------------


@pytest.mark.parametrize("withdrawal", WITHDRAWALS)
@pytest.mark.parametrize("write", ["product", "webhook", "bag", "follow", "defect", "rating", "post", "profile"])
def test_withdrawal_waits_for_a_write_that_was_confirmed(
    cast: Cast,
    shop: Shop,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    withdrawal: Withdrawal,
    write: str,
):
    started: list[Withdrawing] = []
    announce = attribution.notify_on_commit

    def after_confirmation() -> None:
        monkeypatch.setattr(attribution, "notify_on_commit", announce)
        started.append(Withdrawing(withdrawal, cast.staff.user))
        started[0].start()
        eventually(lambda: waiting(database), "the withdrawal waits for the write")
        announce()

    monkeypatch.setattr(attribution, "notify_on_commit", after_confirmation)
    done = WRITES[write](cast.staff, shop)
    started[0].finish()
    assert done.status_code in (200, 201, 204), done.content
    assert written_by(cast.staff.user) >= 1
    assert not belongs_to_deleted()
    again = WRITES[write](cast.staff, shop)
    assert (again.status_code == 401) is (withdrawal is not take_staff)


@pytest.mark.parametrize("withdrawal", WITHDRAWALS)
@pytest.mark.parametrize("write", ["order", "final order"])
def test_withdrawal_waits_for_an_order_that_was_confirmed(
    cast: Cast, shop: Shop, database: psycopg.Connection, withdrawal: Withdrawal, write: str
):
    answers: list[Any] = []

    def order() -> None:
        try:
            answers.append(WRITES[write](cast.staff, shop))
        finally:
            connection.close()

    ordering = threading.Thread(target=order, daemon=True)
    with psycopg.connect(database_url()) as holding:
        holding.execute("SELECT FROM shop_product WHERE id = %s FOR UPDATE", [shop.product.pk])
        ordering.start()
        eventually(lambda: waiting(database) == 1, "the order waits for the product")
        withdrawing = Withdrawing(withdrawal, cast.staff.user)
        withdrawing.start()
        eventually(lambda: waiting(database) == 2, "the withdrawal waits for the order")
    ordering.join(30)
    withdrawing.finish()
    assert answers[0].status_code == 201, answers[0].content
    assert Product.objects.get(pk=shop.product.pk).stock == 9


@pytest.mark.parametrize("write", ["order", "final order", "product"])
def test_write_waits_for_a_withdrawal_under_way_and_is_refused(
    cast: Cast, shop: Shop, database: psycopg.Connection, write: str
):
    answers: list[Any] = []

    def send() -> None:
        try:
            answers.append(WRITES[write](cast.owner, shop))
        finally:
            connection.close()

    sending = threading.Thread(target=send, daemon=True)
    with psycopg.connect(database_url()) as withdrawing:
        withdrawing.execute("UPDATE accounts_user SET is_active = false WHERE id = %s", [cast.owner.user.pk])
        sending.start()
        eventually(lambda: waiting(database) == 1, "the write waits for the withdrawal")
    sending.join(30)
    assert answers[0].status_code == 401, answers[0].content
    assert written_by(cast.owner.user) == 0
    assert Product.objects.get(pk=shop.product.pk).stock == 10


# --- An order that is pending ---------------------------------------------------------------------------------


@pytest.mark.parametrize("withdrawal", OF_ACCOUNT)
@pytest.mark.parametrize("step", ["confirm", "cancel"])
def test_pending_order_can_be_neither_confirmed_nor_cancelled_and_expires(
    cast: Cast,
    shop: Shop,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    withdrawal: Withdrawal,
    step: str,
):
    monkeypatch.setattr("backend.shop.payments.views.tokenise_card", lambda **card: "token")
    number = WRITES["order"](cast.owner, shop).json()["number"]
    path = f"/api/v1/orders/{number}/{step}/"
    card = {"payment": {"card_number": "4242424242424242", "expiry": "12/40", "cvc": "123"}}
    with between_authentication_and_action(monkeypatch, lambda: withdrawal(cast.owner.user)):
        refused = cast.owner.post(path, card if step == "confirm" else {})
    assert refused.status_code == 401, refused.content
    assert Order.objects.get(number=number).state == "PENDING_CONFIRMATION"
    database.execute("UPDATE shop_order SET confirm_until = now()")
    assert expire_orders() == 1
    assert Product.objects.get(pk=shop.product.pk).stock == 10


# --- What the request is about goes meanwhile -----------------------------------------------------------------


def delete_product(product: Product, cast: Cast) -> None:
    Product.objects.filter(pk=product.pk).update(deleted=product.created)


def move_product(product: Product, cast: Cast) -> None:
    Product.objects.filter(pk=product.pk).update(owner=cast.owner.user)


@pytest.mark.parametrize("meanwhile", [delete_product, move_product])
@pytest.mark.parametrize("method", ["patch", "delete"])
def test_product_that_is_gone_or_another_users_after_it_was_read_is_not_there(
    cast: Cast, shop: Shop, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Product, Cast], None], method: str
):
    own_product = reads.own_product

    def read_and_then_gone(key: str, user: Any) -> Product:
        product = own_product(key, user)
        meanwhile(product, cast)
        return product

    monkeypatch.setattr(reads, "own_product", read_and_then_gone)
    send = getattr(cast.colleague.client, method)
    refused = send(f"/api/v1/products/{shop.product.pk}/", {"name": "Mine"}, content_type="application/json")
    assert refused.status_code == 404
    assert written_by(cast.colleague.user) == 0
    assert Product.objects.get(pk=shop.product.pk).name == "Coffee"


# --- A stream that is open ------------------------------------------------------------------------------------


@pytest.mark.parametrize("withdrawal", WITHDRAWALS)
def test_stream_ends_with_the_entitlement_of_its_client(
    cast: Cast, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, withdrawal: Withdrawal
):
    begin_epoch(database)
    monkeypatch.setattr(stream, "ENTITLED_SECONDS", 0.0)
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.01)
    response = cast.staff.client.get("/api/v1/changes/", headers={"accept": "text/event-stream"})
    events = iter(response)
    assert next(events).startswith(b"retry:")
    withdrawal(cast.staff.user)
    assert not [event for event in events if b"data:" in event and b"shop.product" in event]
    response.close()
    again = cast.staff.client.get("/api/v1/changes/", headers={"accept": "text/event-stream"})
    assert again.status_code == (403 if withdrawal is take_staff else 401)


# --- A webhook that is due ------------------------------------------------------------------------------------


class Recorder:
    """Takes the place of the sender."""

    def __init__(self) -> None:
        self.sent: list[UUID] = []

    async def send(self, destination: object, message_id: UUID, body: bytes, clock: object) -> dict[str, Any]:
        self.sent.append(message_id)
        return {}


def sent_to(endpoint: Endpoint, model: str) -> bool:
    """Whether a change of this model, which is due, is sent to the endpoint."""
    recorder = Recorder()
    change = Change(1, timezone.now(), model, "x", "updated", {"title": "a"}, {"title": "b"})
    claim = Claim(lane=1, token=1, attempts=0, message_id=uuid4(), change=change)

    async def deliver() -> None:
        async with AsyncConnectionPool(database_url(), min_size=1, open=False) as pool:
            await EndpointHandler(endpoint.pk, recorder, pool).deliver(claim)

    asyncio.run(deliver())
    return bool(recorder.sent)


@pytest.mark.parametrize(
    ("withdrawal", "model", "sent"),
    [
        (revoke_token, "posts.post", True),  # a webhook is the account's, and not the token's that made it
        (expire_session, "posts.post", True),
        (change_password, "posts.post", False),
        (deactivate, "posts.post", False),
        (delete_account, "posts.post", False),
        (take_staff, "posts.post", True),
        (take_staff, "accounts.user", False),
    ],
)
def test_due_webhook_is_sent_only_while_its_owner_may_read(cast: Cast, withdrawal: Withdrawal, model: str, sent: bool):
    made = cast.staff.post("/api/v1/webhooks/", {**WEBHOOK, "events": ["*"]})
    endpoint = Endpoint.objects.get(pk=made.json()["id"])
    assert sent_to(endpoint, model)
    withdrawal(cast.staff.user)
    assert sent_to(endpoint, model) is sent


@pytest.mark.parametrize("path", ["", "{key}/", "{key}/rotate/", "{key}/test/", "{key}/redeliver/"])
def test_token_that_may_only_write_has_no_webhooks(cast: Cast, path: str):
    key = cast.owner.post("/api/v1/webhooks/", WEBHOOK).json()["id"]
    expires = timezone.now() + timedelta(hours=1)
    session = sessions.open_session(cast.owner.user, expires=expires, address=None, scope="write")
    sessions.store_token(session, "secret", Token.Kind.ACCESS, expires)
    client = Client(headers={"authorization": "Bearer secret"})
    send = client.patch if path == "{key}/" else client.post
    refused = send(f"/api/v1/webhooks/{path.format(key=key)}", WEBHOOK, content_type="application/json")
    assert refused.status_code == 403
    assert 'error="insufficient_scope", scope="read"' in refused["WWW-Authenticate"]
    assert client.delete(f"/api/v1/webhooks/{key}/").status_code == 204


# --- In the database, whichever way it is written -------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO shop_product (owner_id, name, price) VALUES (%(user)s, 'x', 1)",
        "UPDATE shop_product SET owner_id = %(user)s WHERE id = %(product)s",
        "UPDATE shop_product SET deleted = NULL WHERE owner_id = %(user)s",
        "INSERT INTO shop_order (buyer_id, lines, total) VALUES (%(user)s, '[]', 0)",
        "INSERT INTO shop_bag (user_id) VALUES (%(user)s)",
        "INSERT INTO accounts_follow (follower_id, followed_id) VALUES (%(user)s, %(other)s)",
        "INSERT INTO accounts_follow (follower_id, followed_id) VALUES (%(other)s, %(user)s)",
        "UPDATE accounts_follow SET deleted = NULL WHERE follower_id = %(user)s",
        "INSERT INTO lockstep_webhooks_endpoint (owner_id, url, events, secret) "
        "VALUES (%(user)s, 'https://x', '{*}', '')",
        "INSERT INTO movies_rating (user_id, movie_id, rating_type) VALUES (%(user)s, %(movie)s, 'UPVOTE')",
        "INSERT INTO defects_defect (user_id, comment) VALUES (%(number)s, 'x')",
    ],
)
def test_nothing_new_belongs_to_a_deleted_user(cast: Cast, shop: Shop, database: psycopg.Connection, statement: str):
    gone = cast.outsider.user
    Product.objects.create(owner=gone, name="Old", price="1.00")
    Follow.objects.create(follower=gone, followed=cast.owner.user)
    delete_account(gone)
    Product.objects.filter(owner=gone).update(deleted=User.objects.get(pk=gone.pk).deleted)
    names = {
        "user": gone.pk,
        "number": gone.number,
        "other": cast.owner.user.pk,
        "product": shop.product.pk,
        "movie": shop.movie.pk,
    }
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="is deleted"):
        database.execute(statement, names)


def test_row_for_a_user_who_is_being_deleted_waits_and_is_refused(cast: Cast, database: psycopg.Connection):
    errors: list[BaseException] = []

    def insert() -> None:
        with psycopg.connect(database_url(), autocommit=True) as own:
            try:
                own.execute(
                    "INSERT INTO shop_product (owner_id, name, price) VALUES (%s, 'x', 1)", [cast.owner.user.pk]
                )
            except psycopg.Error as error:
                errors.append(error)

    inserting = threading.Thread(target=insert, daemon=True)
    with psycopg.connect(database_url()) as deleting:
        deleting.execute("UPDATE accounts_user SET deleted = now() WHERE id = %s", [cast.owner.user.pk])
        inserting.start()
        eventually(lambda: waiting(database) == 1, "the insert waits for the deletion")
    inserting.join(30)
    assert [type(error) for error in errors] == [psycopg.errors.ForeignKeyViolation]


def test_deletion_by_plain_sql_takes_password_rights_sessions_and_follows(cast: Cast, database: psycopg.Connection):
    Follow.objects.create(follower=cast.staff.user, followed=cast.owner.user)
    database.execute("UPDATE accounts_user SET deleted = now() WHERE id = %s", [cast.staff.user.pk])
    gone = User.objects.get(pk=cast.staff.user.pk)
    assert (gone.password, gone.is_staff, gone.is_superuser, gone.last_login) == ("!", False, False, None)
    assert not belongs_to_deleted()
    assert cast.staff.get("/api/v1/users/me/").status_code == 401


def test_reactivated_account_needs_a_new_sign_in(cast: Cast, client: Client):
    deactivate(cast.owner.user)
    User.objects.filter(pk=cast.owner.user.pk).update(is_active=True)
    assert cast.owner.get("/api/v1/users/me/").status_code == 401
    body = {"username": "owner", "password": "owner-password"}
    assert client.post("/auth/", body, content_type="application/json").status_code == 200
