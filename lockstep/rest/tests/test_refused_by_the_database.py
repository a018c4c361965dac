"""A constraint that a write hurts: only what another transaction did first is worth a second try."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import InternalError, connection

from backend.accounts.models import Session, Token
from backend.posts.models import Post
from lockstep.delivery.models import DeadLetter
from lockstep.rest.exception_handler import exception_handler
from lockstep.webhooks import actions as webhooks
from lockstep.webhooks.models import Endpoint
from tests.admin_pages import admin_of
from tests.support import Cast, any_lock_waiter, eventually

HOOK = {"url": "https://example.com/hook", "events": ["posts.post.*"]}
STILL_REFERENCED = "lockstep_deadletter_subscription_id"


@pytest.fixture
def endpoint(cast: Cast, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """An endpoint whose deletion omits its subscription's children: a bug that shows at the commit."""
    key = cast.owner.post("/api/v1/webhooks/", HOOK).json()["id"]
    write_letter(database, f"webhook:{key}")

    def forget(subscription: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM lockstep_subscription WHERE name = %s", [subscription])

    monkeypatch.setattr(webhooks.operations, "unsubscribe", forget)
    return Endpoint.objects.get(pk=key)


def write_letter(database: psycopg.Connection, subscription: str) -> None:
    database.execute(
        """
        INSERT INTO lockstep_deadletter (subscription_id, model, object_id, seq, at, message_id, attempts, cause)
        VALUES (%s, 'posts.post', '1', 1, now(), %s, 1, 'Rejected: 400')
        """,
        [subscription, uuid4()],
    )


def test_foreign_key_that_fails_at_commit_is_a_logged_500(
    cast: Cast, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
):
    answer = cast.owner.delete(f"/api/v1/webhooks/{endpoint.pk}/")
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert STILL_REFERENCED in caplog.text
    assert Endpoint.objects.alive().filter(pk=endpoint.pk).exists()


def test_a_foreign_key_error_at_commit_is_shown_in_the_admin(
    cast: Cast, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
):
    page = f"/admin/accounts/user/{cast.owner.user.pk}/delete/"
    admin = admin_of(cast.staff.user)
    answer = admin.post(page, {"post": "yes"})
    assert (answer.status_code, answer["Location"]) == (302, page)
    assert "The database refused the write. Nothing was changed" in admin.get(page).content.decode()
    assert STILL_REFERENCED in caplog.text
    cast.owner.user.refresh_from_db()
    assert cast.owner.user.deleted is None


def test_value_that_a_concurrent_request_took_is_a_conflict(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    taken = Post.objects.create(title="a", body="b")
    taken.refresh_from_db()

    def create(*args: object, **values: Any) -> Post:
        return Post.objects.create(number=taken.number, title="a", body="b")

    monkeypatch.setattr("backend.posts.actions.create_post", create)
    answer = cast.owner.post("/fakeapi/v1/posts/create/", {"title": "a", "body": "b"})
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "A concurrent request wrote a conflicting value. Retry.",
    )


@pytest.mark.django_db(transaction=True)
def test_account_is_deleted_beside_a_refresh_of_its_session(cast: Cast, database: psycopg.Connection):
    session = Session.objects.get(user=cast.owner.user)

    def delete() -> int:
        try:
            return cast.owner.delete_account().status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("SELECT FROM accounts_session WHERE id = %s FOR NO KEY UPDATE", [session.pk])
            database.execute(
                "INSERT INTO accounts_token (digest, session_id, kind, expires) VALUES ('x', %s, 'refresh', now())",
                [session.pk],
            )
            deletion = pool.submit(delete)
            eventually(lambda: any_lock_waiter(database))
        assert deletion.result() == 204
    assert not Token.objects.filter(session=session).exists()


def test_letters_go_with_a_subscription_whose_letter_is_being_written(cast: Cast, database: psycopg.Connection):
    key = cast.owner.post("/api/v1/webhooks/", HOOK).json()["id"]
    name = f"webhook:{key}"
    database.execute(
        "INSERT INTO lockstep_lane (subscription_id, model, object_id) VALUES (%s, 'posts.post', '1')", [name]
    )
    database.execute("INSERT INTO lockstep_delivery (lane_id, seq, at) SELECT id, 1, now() FROM lockstep_lane")

    def delete() -> int:
        try:
            return cast.owner.delete(f"/api/v1/webhooks/{key}/").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():  # what a courier does with a claim that is refused
            database.execute("SELECT FROM lockstep_lane WHERE subscription_id = %s FOR UPDATE", [name])
            write_letter(database, name)
            deletion = pool.submit(delete)
            eventually(lambda: any_lock_waiter(database))
            database.execute("DELETE FROM lockstep_delivery")
        assert deletion.result() == 204
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize(
    ("cause", "has_traceback"),
    [
        (psycopg.errors.InternalError_("cache lookup failed for type 1"), True),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"), False),
    ],
)
def test_errors_that_a_new_session_may_not_cure_are_logged_with_a_traceback(
    cause: psycopg.Error, has_traceback: bool, caplog: pytest.LogCaptureFixture
):
    error = InternalError(*cause.args)
    error.__cause__ = cause
    answer = exception_handler(error, {})
    assert answer
    assert answer.status_code == 503
    [record] = caplog.records
    assert record.getMessage().endswith(str(cause))
    assert bool(record.exc_info) is has_traceback
