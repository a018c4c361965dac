"""POST /auth/ and the bearer token that it gives."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from lockstep.accounts.models import Token, User
from tests.support import Cast

pytestmark = pytest.mark.django_db

POSTS = "/fakeapi/v1/posts/"


@pytest.fixture
def somebody(db: None) -> User:
    return User.objects.create_user("somebody", password="right")


def sign_in(client: Client, username: object, password: object):
    return client.post("/auth/", {"username": username, "password": password}, content_type="application/json")


def ask(client: Client, authorization: str | None):
    return client.get(POSTS, headers={"authorization": authorization} if authorization is not None else {})


@pytest.mark.parametrize("path", ["/auth", "/auth/"])
def test_the_right_password_gives_a_token_that_opens_the_door(client: Client, somebody: User, path: str):
    answer = client.post(path, {"username": "somebody", "password": "right"}, content_type="application/json")
    assert answer.status_code == 200
    assert list(answer.json()) == ["token"]
    assert ask(client, f"Bearer {answer.json()['token']}").status_code == 200


@pytest.mark.parametrize(("username", "password"), [("somebody", "wrong"), ("nobody", "right"), ("somebody", "right ")])
def test_a_wrong_name_or_password_is_401_and_does_not_tell_which(
    client: Client, somebody: User, username: str, password: str
):
    answer = sign_in(client, username, password)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["detail"] == "The username or the password is wrong."


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "somebody"},
        {"username": ["a"], "password": "b"},
        {"username": "a\0", "password": "b"},
        {"username": "a", "password": "b\0"},
        {"username": "a", "password": "b", "token": 1},
    ],
)
def test_a_body_that_is_no_credentials_is_400(client: Client, body: dict):
    assert client.post("/auth/", body, content_type="application/json").status_code == 400


@pytest.mark.parametrize("state", [{"is_active": False}, {"deleted": timezone.now()}])
def test_who_may_not_sign_in_gets_no_token_and_old_ones_end(client: Client, somebody: User, state: dict):
    token = Token.issue(somebody)
    User.objects.filter(pk=somebody.pk).update(**state)
    assert sign_in(client, "somebody", "right").status_code == 401
    assert ask(client, f"Bearer {token}").status_code == 401


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer x", "Basic dXNlcjoxMjM0", "Token x", "Bearer \xff", "Bearer " + "x" * 5000],
)
def test_without_a_valid_token_every_route_is_401(client: Client, authorization: str | None):
    answer = ask(client, authorization)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="lockstep"'
    assert answer["Content-Type"] == "application/problem+json"


def test_an_expired_token_is_401(client: Client, somebody: User):
    token = Token.issue(somebody)
    Token.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert ask(client, f"Bearer {token}").status_code == 401


def test_the_database_cannot_give_a_token_back(somebody: User):
    token = Token.issue(somebody)
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM accounts_token t")
        assert token not in cursor.fetchone()[0]
    assert bytes(Token.objects.get().digest) == Token.digest_of(token)


def test_expired_tokens_are_the_ones_that_the_periodic_work_removes(somebody: User):
    Token.issue(somebody)
    Token.issue(somebody)
    Token.objects.filter(digest=Token.objects.first().digest).update(expires=timezone.now())
    assert (Token.objects.valid().count(), Token.objects.expired().count()) == (1, 1)


def test_signing_in_costs_one_query_for_a_request(cast: Cast, django_assert_num_queries):
    with django_assert_num_queries(2):  # the token with its user, the post
        cast.owner.get(f"{POSTS}1/")
