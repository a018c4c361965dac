"""Authentication by bearer tokens of every kind."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from backend.accounts import sessions
from backend.accounts.models import Session, Token, User
from backend.accounts.subscribers import remove_expired
from tests.support import Cast

pytestmark = pytest.mark.django_db

POSTS = "/fakeapi/v1/posts/"
KINDS = ["opaque", "signed"]


@pytest.fixture
def account(db: None) -> User:
    return User.objects.create_user("someuser", password="right")


def issue(user: User, kind: str = "opaque", *, scope: str = "read write") -> str:
    secret = sessions.open_opaque(user) if kind == "opaque" else sessions.open_pair(user).access
    Session.objects.filter(user=user).update(scope=scope)
    return secret


def ask(client: Client, authorization: str | None):
    return client.get(POSTS, headers={"authorization": authorization} if authorization is not None else {})


def write(client: Client, secret: str):
    body = {"title": "t", "body": "b"}
    headers = {"authorization": f"Bearer {secret}"}
    return client.post(f"{POSTS}create/", body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_authenticates_a_request(client: Client, account: User, kind: str):
    assert ask(client, f"Bearer {issue(account, kind)}").status_code == 200
    assert ask(client, f"bearer  {issue(account, kind)}").status_code == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", [{"is_active": False}, {"deleted": Now()}])
def test_tokens_of_users_who_may_not_sign_in_are_401(client: Client, account: User, state: dict, kind: str):
    secret = issue(account, kind)
    User.objects.filter(pk=account.pk).update(**state)
    assert ask(client, f"Bearer {secret}").status_code == 401


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer x", "Basic dXNlcjoxMjM0", "Token x", "Bearer \xff", "Bearer " + "x" * 5000],
)
def test_a_request_without_a_valid_token_is_401(client: Client, authorization: str | None):
    answer = ask(client, authorization)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith('Bearer realm="lockstep"')
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/unauthenticated"


@pytest.mark.parametrize("kind", KINDS)
def test_an_expired_session_is_401(client: Client, account: User, kind: str):
    secret = issue(account, kind)
    Session.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert ask(client, f"Bearer {secret}").status_code == 401


def test_an_expired_token_is_401_while_its_session_is_open(client: Client, account: User):
    secret = issue(account)
    Token.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert ask(client, f"Bearer {secret}").status_code == 401


@pytest.mark.parametrize("kind", KINDS)
def test_a_revoked_session_is_401_at_once(client: Client, account: User, kind: str):
    secret = issue(account, kind)
    Session.objects.all().revoke()
    assert ask(client, f"Bearer {secret}").status_code == 401


@pytest.mark.parametrize("kind", KINDS)
def test_a_refresh_token_does_not_authenticate_a_request(client: Client, account: User, kind: str):
    pair = sessions.open_pair(account)
    secret = pair.refresh
    if kind == "opaque":
        secret = sessions.new_secret()
        sessions.store_token(Session.objects.get(), secret, Token.Kind.REFRESH, timezone.now() + timedelta(days=1))
    assert ask(client, f"Bearer {secret}").status_code == 401


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scope", "reading", "writing"),
    [("read write", 200, 201), ("read", 200, 403), ("write", 403, 201), ("", 403, 403), ("readwrite", 403, 403)],
)
def test_a_token_allows_its_scopes_only(
    client: Client, account: User, kind: str, scope: str, reading: int, writing: int
):
    secret = issue(account, kind, scope=scope)
    read, written = ask(client, f"Bearer {secret}"), write(client, secret)
    assert (read.status_code, written.status_code) == (reading, writing)
    for answer in (read, written):
        if answer.status_code == 403:
            assert answer.json()["type"] == "/problems/insufficient-scope"


def test_the_database_stores_no_readable_token(account: User):
    pair = sessions.open_pair(account)
    secrets = [sessions.open_opaque(account), pair.access, pair.refresh]
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM accounts_token t UNION ALL SELECT s::text FROM accounts_session s")
        kept = "".join(row[0] for row in cursor.fetchall())
    assert not [secret for secret in secrets if secret in kept]
    assert Token.objects.filter(digest=Token.digest_of(secrets[0])).exists()


def test_cleanup_removes_expired_sessions_only(account: User):
    sessions.open_opaque(account)
    gone, going_on = Session.objects.get(), sessions.open_pair(account)
    past = timezone.now() - timedelta(seconds=1)
    Session.objects.filter(pk=gone.pk).update(expires=past)
    current = Session.objects.exclude(pk=gone.pk).get()
    sessions.store_token(current, "old", Token.Kind.REFRESH, past)
    remove_expired()
    assert [session.pk for session in Session.objects.all()] == [current.pk]
    assert [bytes(token.digest) for token in Token.objects.all()] == [Token.digest_of(going_on.refresh)]


@pytest.mark.parametrize("kind", KINDS)
def test_authentication_takes_one_query(cast: Cast, client: Client, kind: str, django_assert_num_queries):
    secret = issue(cast.owner.user, kind)
    with django_assert_num_queries(1):  # the session with its user, and the post
        client.get(f"{POSTS}1/", headers={"authorization": f"Bearer {secret}"})


def test_a_write_token_reads_the_response_to_its_writes_only(client: Client, account: User):
    User.objects.filter(pk=account.pk).update(is_staff=True)
    secret = issue(account, scope="write")
    client = Client(headers={"authorization": f"Bearer {secret}"})
    changed = client.patch("/api/v1/users/me/", {"first_name": "Some"}, content_type="application/json")
    assert (changed.status_code, changed.json()["first_name"], changed.json()["username"]) == (200, "Some", "someuser")
    refused = [
        client.get("/api/v1/users/me/"),
        client.get(f"/api/v1/history/accounts.user/{account.number}/"),
        client.post("/oauth/introspect/", f"token={secret}", content_type="application/x-www-form-urlencoded"),
        client.post("/api/v1/webhooks/", {"url": "https://x.example/", "events": ["*"]}, "application/json"),
    ]
    for answer in refused:
        assert answer.status_code == 403
        assert 'scope="read"' in answer["WWW-Authenticate"]
