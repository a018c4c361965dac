"""Signing in at every endpoint: tokens, refresh, revocation, verification."""

import base64
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from urllib.parse import urlencode

import jwt
import pytest
from django.contrib.auth.hashers import make_password
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import Application

from backend.accounts import actions, sessions, signed
from backend.accounts.development import ensure_client
from backend.accounts.models import LoginAttemptCount, Session, Token, User

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

POSTS = "/fakeapi/v1/posts/"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def account(db: None) -> User:
    ensure_client()
    return User.objects.create_user("someuser", "Some.Body@example.com", password="right")


def post(client: Client, path: str, body: dict):
    return client.post(path, body, content_type="application/json")


def form(client: Client, path: str, **fields: str):
    return client.post(path, urlencode(fields), content_type=FORM)


def opens(client: Client, secret: str) -> bool:
    answer = client.get(POSTS, headers={"authorization": f"Bearer {secret}"})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def by_auth(client: Client, name: str, password: str):
    return post(client, "/auth/", {"username": name, "password": password})


def by_name(client: Client, name: str, password: str):
    return post(client, "/api/token/", {"name": name, "password": password})


def by_username(client: Client, name: str, password: str):
    return post(client, "/api/v1/auth/token/", {"username": name, "password": password})


def by_email(client: Client, name: str, password: str):
    return post(client, "/api/v1/auth/token/", {"email": name, "password": password})


def by_oauth(client: Client, name: str, password: str):
    return form(
        client, "/oauth/token/", grant_type="password", client_id="lockstep-dev", username=name, password=password
    )


SIGN_INS = [by_auth, by_name, by_username, by_email, by_oauth]
SignIn = Callable[[Client, str, str], object]


def access_of(answer) -> str:
    body = answer.json()
    return body.get("token") or body.get("access") or body["access_token"]


@pytest.mark.parametrize("sign_in", SIGN_INS)
@pytest.mark.parametrize("name", ["someuser", "some.body@EXAMPLE.com"])
def test_every_sign_in_endpoint_returns_a_valid_token(client: Client, account: User, sign_in: SignIn, name: str):
    answer = sign_in(client, name, "right")
    assert answer.status_code == 200, answer.content
    assert answer["Cache-Control"] == "no-store"
    assert opens(client, access_of(answer))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth", {"username": "someuser", "password": "right"}),
        ("/api/token", {"name": "someuser", "password": "right"}),
        ("/api/v1/auth/token", {"username": "someuser", "password": "right"}),
        ("/api/register", {"name": "another", "password": "correct horse"}),
        ("/api/v1/users/register", {"username": "another", "password": "correct horse"}),
    ],
)
def test_the_frozen_routes_answer_without_the_slash_too(client: Client, account: User, path: str, body: dict):
    assert post(client, path, body).status_code in (200, 201)


@pytest.mark.parametrize("sign_in", SIGN_INS)
@pytest.mark.parametrize(
    ("name", "password"), [("someuser", "wrong"), ("nobody", "right"), ("someuser", "right "), ("some-user", "right")]
)
def test_a_wrong_name_or_password_does_not_tell_which(
    client: Client, account: User, sign_in: SignIn, name: str, password: str
):
    answer = sign_in(client, name, password)
    assert answer.status_code == (400 if sign_in is by_oauth else 401)  # RFC 6749 has it so
    assert answer["Content-Type"] == ("application/json" if sign_in is by_oauth else "application/problem+json")
    assert answer.json()["detail"] in ("The username or the password is wrong.", "Invalid credentials given.")
    assert not Session.objects.exists()


@pytest.mark.parametrize("sign_in", SIGN_INS)
@pytest.mark.parametrize(
    "name", [" someuser", "someuser ", "someuser\n", " some.body@example.com", "some.body@example.com\t"]
)
def test_spaces_around_a_name_are_significant(client: Client, account: User, sign_in: SignIn, name: str):
    assert sign_in(client, name, "right").status_code == (400 if sign_in is by_oauth else 401)


@pytest.mark.parametrize("sign_in", SIGN_INS)
def test_spaces_around_a_password_are_significant(client: Client, account: User, sign_in: SignIn):
    account.set_password(" right ")
    account.save()
    assert sign_in(client, "someuser", " right ").status_code == 200
    assert sign_in(client, "someuser", "right").status_code == (400 if sign_in is by_oauth else 401)


@pytest.mark.parametrize("sign_in", SIGN_INS)
@pytest.mark.parametrize("state", [{"is_active": False}, {"deleted": Now()}])
def test_a_user_who_may_not_sign_in_gets_no_token(client: Client, account: User, sign_in: SignIn, state: dict):
    User.objects.filter(pk=account.pk).update(**state)
    assert sign_in(client, "someuser", "right").status_code in (400, 401)
    assert not Token.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "someuser"},
        {"username": ["a"], "password": "b"},
        {"username": "a\0", "password": "b"},
        {"username": "a", "password": "b\0"},
        {"username": "a", "password": "b", "token": 1},
        {"username": "a", "email": "a@example.com", "password": "b"},
    ],
)
@pytest.mark.parametrize("path", ["/auth/", "/api/token/", "/api/v1/auth/token/"])
def test_a_body_that_is_no_credentials_is_400(client: Client, body: dict, path: str):
    assert post(client, path, body).status_code == 400


# --- Refreshing -----------------------------------------------------------------------------------------


def refresh(client: Client, secret: str):
    return post(client, "/api/v1/auth/refresh/", {"refresh": secret})


def used(seconds: float) -> None:
    Token.objects.exclude(used=None).update(used=timezone.now() - timedelta(seconds=seconds))


def test_a_refresh_gives_the_next_pair(client: Client, account: User):
    first = by_username(client, "someuser", "right").json()
    second = refresh(client, first["refresh"]).json()
    assert set(second) == {"access", "refresh"}
    assert second["refresh"] != first["refresh"]
    assert opens(client, second["access"])
    assert refresh(client, second["refresh"]).status_code == 200
    assert Session.objects.count() == 1


def test_a_reused_refresh_token_ends_its_session(client: Client, account: User):
    first = by_username(client, "someuser", "right").json()
    second = refresh(client, first["refresh"]).json()
    third = refresh(client, second["refresh"]).json()
    used(seconds=11)
    assert refresh(client, first["refresh"]).status_code == 401
    assert not opens(client, third["access"])
    assert refresh(client, third["refresh"]).status_code == 401
    assert not opens(client, first["access"])


def test_a_refresh_token_may_be_used_again_within_ten_seconds(client: Client, account: User):
    pair = by_username(client, "someuser", "right").json()
    one, other = refresh(client, pair["refresh"]).json(), refresh(client, pair["refresh"]).json()
    used(seconds=9)
    late = refresh(client, pair["refresh"])
    assert late.status_code == 200
    for tab in (one, other, late.json()):
        assert opens(client, tab["access"])
        assert refresh(client, tab["refresh"]).status_code == 200


def test_a_refresh_never_shortens_its_session(account: User):
    now = timezone.now()
    session = sessions.open_session(account, expires=now, address=None)
    tab = Session.objects.get(pk=session.pk)
    sessions.store_token(session, "one", Token.Kind.REFRESH, now + timedelta(days=2))
    sessions.store_token(tab, "other", Token.Kind.REFRESH, now + timedelta(days=1))
    assert Session.objects.get(pk=session.pk).expires == now + timedelta(days=2)


@pytest.mark.parametrize("key", [{}, {"idempotency-key": "k"}])
@pytest.mark.django_db(transaction=True)
def test_a_refresh_during_the_deletion_of_the_account_is_401(account: User, key: dict, monkeypatch):
    pair = by_username(Client(), "someuser", "right").json()
    sign = signed.sign
    monkeypatch.setattr(signed, "sign", lambda *args: (Session.objects.all().delete(), sign(*args))[1])
    assert refresh(Client(headers=key, raise_request_exception=False), pair["refresh"]).status_code == 401


def test_reuse_does_not_end_other_sessions(client: Client, account: User):
    here, there = by_username(client, "someuser", "right").json(), by_username(client, "someuser", "right").json()
    refresh(client, here["refresh"])
    used(seconds=11)
    assert refresh(client, here["refresh"]).status_code == 401
    assert opens(client, there["access"])
    assert refresh(client, there["refresh"]).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/auth/refresh/", "/api/v1/auth/token/refresh"])
@pytest.mark.parametrize("secret", ["", "x", "a.b.c", "\0", "x" * 5000])
def test_other_values_are_refused_as_refresh_tokens(client: Client, path: str, secret: str):
    assert post(client, path, {"refresh": secret}).status_code in (400, 401)


def test_an_access_token_cannot_be_used_for_a_refresh(client: Client, account: User):
    assert refresh(client, by_username(client, "someuser", "right").json()["access"]).status_code == 401


def test_a_pair_of_a_former_key_is_accepted_and_of_another_key_refused(client: Client, account: User, settings):
    pair = by_username(client, "someuser", "right").json()
    former = settings.SECRET_KEY
    settings.SECRET_KEY = "k" * 60
    assert not opens(client, pair["access"])
    assert refresh(client, pair["refresh"]).status_code == 401
    settings.SECRET_KEY_FALLBACKS = [former]
    assert opens(client, pair["access"])
    assert refresh(client, pair["refresh"]).status_code == 200


def test_a_signed_token_that_was_verified_before_still_expires(client: Client, account: User, monkeypatch):
    access = by_username(client, "someuser", "right").json()["access"]
    assert opens(client, access)

    class Later(datetime):
        @classmethod
        def now(cls, zone: tzinfo | None = None) -> datetime:
            return datetime.now(zone) + timedelta(hours=1)

    monkeypatch.setattr(signed, "datetime", Later)
    assert not opens(client, access)


def test_a_token_of_a_server_whose_clock_is_ahead_is_accepted(client: Client, account: User, monkeypatch):
    monkeypatch.setattr(signed.timezone, "now", lambda: datetime.now(UTC) + timedelta(seconds=5))
    access = by_username(client, "someuser", "right").json()["access"]
    monkeypatch.undo()
    assert opens(client, access)


def test_a_signed_token_has_user_and_expiry(client: Client, account: User, settings):
    access = by_username(client, "someuser", "right").json()["access"]
    claims = jwt.decode(access, options={"verify_signature": False})
    assert (claims["sub"], claims["token_type"], claims["scope"]) == (str(account.pk), "access", "read write")
    assert claims["exp"] - claims["iat"] == settings.ACCESS_MINUTES * 60


# --- Verifying and signing out --------------------------------------------------------------------------


def verify(client: Client, secret: str, path: str = "/api/v1/auth/verify/") -> int:
    return post(client, path, {"token": secret}).status_code


@pytest.mark.parametrize("path", ["/api/v1/auth/verify", "/api/v1/auth/token/verify/"])
def test_verify_accepts_valid_tokens(client: Client, account: User, path: str):
    pair = by_username(client, "someuser", "right").json()
    opaque = by_auth(client, "someuser", "right").json()["token"]
    assert [verify(client, secret, path) for secret in (pair["access"], pair["refresh"], opaque)] == [200, 200, 200]


def test_verify_rejects_used_revoked_and_forged_tokens(client: Client, account: User):
    pair = by_username(client, "someuser", "right").json()
    refresh(client, pair["refresh"])
    assert verify(client, pair["refresh"]) == 401
    Session.objects.all().revoke()
    assert [verify(client, secret) for secret in (pair["access"], "x", "a.b.c")] == [401, 401, 401]


def test_signing_out_closes_this_session_and_no_other(client: Client, account: User):
    here, there = by_username(client, "someuser", "right").json(), by_auth(client, "someuser", "right").json()
    answer = client.post("/api/v1/auth/sign-out/", headers={"authorization": f"Bearer {here['access']}"})
    assert answer.status_code == 204
    assert not opens(client, here["access"])
    assert refresh(client, here["refresh"]).status_code == 401
    assert opens(client, there["token"])


# --- OAuth 2 --------------------------------------------------------------------------------------------


def test_the_password_flow_returns_the_fields_of_rfc_6749(client: Client, account: User):
    body = by_oauth(client, "someuser", "right").json()
    assert set(body) == {"access_token", "expires_in", "token_type", "scope", "refresh_token"}
    assert (body["expires_in"], body["token_type"], body["scope"]) == (3600, "Bearer", "read write")


def test_a_sign_in_logs_no_warning(client: Client, account: User, caplog: pytest.LogCaptureFixture):
    assert by_oauth(client, "someuser", "right").status_code == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_client_may_ask_for_less(client: Client, account: User):
    fields = {"grant_type": "password", "client_id": "lockstep-dev", "username": "someuser", "password": "right"}
    body = form(client, "/oauth/token", **fields, scope="read").json()
    assert body["scope"] == "read"
    headers = {"authorization": f"Bearer {body['access_token']}"}
    assert client.get(POSTS, headers=headers).status_code == 200
    assert client.delete(f"{POSTS}delete/1/", headers=headers).status_code == 403
    refused = form(client, "/oauth/token", **fields, scope="admin")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


def refresh_oauth(client: Client, secret: str, client_id: str = "lockstep-dev", **more: str):
    return form(client, "/oauth/token/", grant_type="refresh_token", client_id=client_id, refresh_token=secret, **more)


@pytest.mark.parametrize("scope", ["read", "write", "read write admin", "bogus"])
def test_a_refused_refresh_for_another_scope_does_not_use_the_token(client: Client, account: User, scope: str):
    first = by_oauth(client, "someuser", "right").json()
    refused = refresh_oauth(client, first["refresh_token"], scope=scope)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    assert Token.objects.exclude(used=None).count() == 0
    again = refresh_oauth(client, first["refresh_token"], scope="write read").json()
    assert set(again["scope"].split()) == {"read", "write"}


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_oauth_takes_no_other_form(client: Client, content_type: str):
    answer = client.post("/oauth/token/", b"x", content_type=content_type)
    assert (answer.status_code, answer.json()["error"]) == (415, "invalid_request")


def test_the_refresh_flow_rotates_and_reuse_ends_the_family(client: Client, account: User):
    first = by_oauth(client, "someuser", "right").json()
    second = refresh_oauth(client, first["refresh_token"]).json()
    assert opens(client, second["access_token"])
    assert refresh_oauth(client, first["refresh_token"]).status_code == 200  # two tabs
    used(seconds=11)
    assert refresh_oauth(client, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert not opens(client, second["access_token"])


def test_a_refresh_does_not_widen_the_scope(client: Client, account: User):
    fields = {"grant_type": "password", "client_id": "lockstep-dev", "username": "someuser", "password": "right"}
    first = form(client, "/oauth/token/", **fields, scope="read").json()
    assert refresh_oauth(client, first["refresh_token"], scope="read write").json()["error"] == "invalid_scope"


@pytest.fixture
def confidential(db: None) -> Application:
    return Application.objects.create(
        client_id="partner",
        client_secret="partner-secret",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_PASSWORD,
    )


def test_a_confidential_client_must_show_its_secret(client: Client, account: User, confidential: Application):
    fields = {"grant_type": "password", "client_id": "partner", "username": "someuser", "password": "right"}
    refused = form(client, "/oauth/token/", **fields)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert form(client, "/oauth/token/", **fields, client_secret="wrong").status_code == 401
    assert form(client, "/oauth/token/", **fields, client_secret="partner-secret").status_code == 200


def test_a_refresh_token_is_for_its_own_client(client: Client, account: User, confidential: Application):
    first = by_oauth(client, "someuser", "right").json()
    stolen = refresh_oauth(client, first["refresh_token"], "partner", client_secret="partner-secret")
    assert stolen.json()["error"] == "invalid_grant"
    assert refresh_oauth(client, first["refresh_token"]).status_code == 200
    signed = by_username(client, "someuser", "right").json()["refresh"]
    assert refresh_oauth(client, signed).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_revoking_either_token_closes_the_session(client: Client, account: User, kind: str):
    tokens = by_oauth(client, "someuser", "right").json()
    answer = form(client, "/oauth/revoke_token/", client_id="lockstep-dev", token=tokens[kind])
    assert answer.status_code == 200
    assert not opens(client, tokens["access_token"])
    assert refresh_oauth(client, tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_client_cannot_revoke_another_clients_token(client: Client, account: User, confidential: Application):
    tokens = by_oauth(client, "someuser", "right").json()
    fields = {"client_id": "partner", "client_secret": "partner-secret", "token": tokens["access_token"]}
    assert form(client, "/oauth/revoke_token/", **fields).status_code == 200  # which tells nothing
    assert opens(client, tokens["access_token"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"grant_type": "password"},
        {"grant_type": "client_credentials", "client_id": "lockstep-dev"},
        {"grant_type": "authorization_code", "client_id": "lockstep-dev", "code": "x"},
        {"grant_type": "password", "client_id": "nobody", "username": "someuser", "password": "right"},
        {"grant_type": "password", "client_id": "lockstep-dev", "username": "someuser"},
        {"grant_type": "password", "client_id": "lockstep-dev", "username": "a\0", "password": "b"},
        {"grant_type": "refresh_token", "client_id": "lockstep-dev"},
        {"grant_type": "refresh_token", "client_id": "lockstep-dev", "refresh_token": "\0"},
    ],
)
def test_refusals_of_the_protocol_are_problems_with_an_error_code(client: Client, account: User, fields: dict):
    answer = form(client, "/oauth/token/", **fields)
    assert answer.status_code in (400, 401)
    assert answer["Content-Type"] == "application/json"  # RFC 6749, 5.2
    assert answer["Cache-Control"] == "no-store"
    assert answer.json()["error"]
    assert not Session.objects.exists()


@pytest.mark.parametrize("path", ["/oauth/token/", "/oauth/revoke_token/"])
@pytest.mark.parametrize("way", ["basic", "form"])
def test_a_client_without_its_secret_is_401_with_a_basic_challenge(
    client: Client, confidential: Application, path: str, way: str
):
    fields = {"grant_type": "password", "username": "u", "password": "p", "token": "t"}
    if way == "basic":
        client.defaults["HTTP_AUTHORIZATION"] = f"Basic {base64.b64encode(b'partner:wrong').decode()}"
    else:
        fields |= {"client_id": "partner", "client_secret": "wrong"}
    answer = form(client, path, **fields)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer["WWW-Authenticate"] == 'Basic realm="lockstep"'
    assert answer["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/oauth/token/", "/oauth/revoke_token/"])
def test_early_refusals_have_an_error_code_of_rfc_6749(client: Client, path: str):
    answer = client.post(path, "{}", content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (415, "application/json")
    assert answer.json()["error"] == "invalid_request"


def test_an_insufficient_scope_error_names_the_scope(client: Client, account: User):
    fields = {"grant_type": "password", "client_id": "lockstep-dev", "username": "someuser", "password": "right"}
    for scope, method in (("read", "delete"), ("write", "get")):
        token = form(client, "/oauth/token/", **fields, scope=scope).json()["access_token"]
        answer = getattr(client, method)("/api/v1/users/me/", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 403
        needed = {"read": "write", "write": "read"}[scope]
        assert answer["WWW-Authenticate"] == (f'Bearer realm="lockstep", error="insufficient_scope", scope="{needed}"')


def test_verify_and_introspection_are_not_replayed(client: Client, account: User):
    staff = User.objects.create_user("staff", is_staff=True)
    token = by_auth(client, "someuser", "right").json()["token"]
    keyed = {"idempotency-key": "k"}

    def verified() -> int:
        body = {"token": token}
        return client.post("/api/v1/auth/verify/", body, content_type="application/json", headers=keyed).status_code

    def active() -> bool:
        headers = {"authorization": f"Bearer {looking}", **keyed}
        return client.post("/oauth/introspect/", f"token={token}", content_type=FORM, headers=headers).json()["active"]

    looking = sessions.open_opaque(staff)
    assert (verified(), active()) == (200, True)
    Session.objects.filter(user=account).revoke()
    assert (verified(), active()) == (401, False)


def replace_password(user: User) -> None:
    found = User.objects.get(pk=user.pk)
    found.set_password("replaced")
    found.save()


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def replace_password_by_sql(user: User) -> None:
    User.objects.filter(pk=user.pk).update(password=make_password("replaced"))


def make_password_unusable(user: User) -> None:
    found = User.objects.get(pk=user.pk)
    found.set_unusable_password()
    found.save()


def revoke(user: User) -> None:
    Session.objects.filter(user=user).revoke()


def delete(user: User) -> None:
    actions.delete_account(actor="test", user=User.objects.get(pk=user.pk))


@pytest.mark.parametrize("sign_in", SIGN_INS)
@pytest.mark.parametrize(
    "withdraw",
    [replace_password, replace_password_by_sql, make_password_unusable, deactivate, delete, revoke],
)
def test_tokens_are_not_replayed_once_their_session_has_ended(
    account: User, sign_in: SignIn, withdraw: Callable[[User], None]
):
    client = Client(headers={"idempotency-key": "k"})
    first, second = sign_in(client, "someuser", "right"), sign_in(client, "someuser", "right")
    assert second["Idempotent-Replayed"] == "true"
    assert second.content == first.content
    withdraw(account)
    third = sign_in(client, "someuser", "right")
    assert "Idempotent-Replayed" not in third
    if withdraw is revoke:
        assert opens(Client(), access_of(third))
        assert sign_in(client, "someuser", "right").content == third.content
    else:
        assert third.status_code == (400 if sign_in is by_oauth else 401)
        assert LoginAttemptCount.objects.filter(number=1).exists(), "it was not counted"


def test_a_refresh_is_replayed_while_its_session_is_open(client: Client, account: User):
    pair = by_username(client, "someuser", "right").json()
    keyed = Client(headers={"idempotency-key": "k"})
    first = refresh(keyed, pair["refresh"])
    used(seconds=11)
    assert refresh(keyed, pair["refresh"]).content == first.content
    refresh(client, first.json()["refresh"])
    assert refresh(keyed, pair["refresh"]).content == first.content
    revoke(account)
    assert refresh(keyed, pair["refresh"]).status_code == 401


def test_a_client_shows_its_secret_for_a_replay_too(client: Client, account: User):
    application = {"client_type": "confidential", "authorization_grant_type": "password"}
    Application.objects.create(client_id="partner", client_secret="secret", **application)
    fields = {"grant_type": "password", "username": "someuser", "password": "right"}

    def sign_in(secret: str) -> int:
        basic = "Basic " + base64.b64encode(f"partner:{secret}".encode()).decode()
        return form(
            Client(headers={"authorization": basic, "idempotency-key": "k"}), "/oauth/token/", **fields
        ).status_code

    assert [sign_in("secret"), sign_in("secret"), sign_in("guess")] == [200, 200, 422]


# --- What is verified is what is stored -----------------------------------------------------------------


@pytest.mark.parametrize("sign_in", SIGN_INS)
@pytest.mark.parametrize("withdraw", [replace_password, deactivate])
def test_a_sign_in_is_refused_if_the_password_changes_during_its_verification(
    client: Client, account: User, sign_in: SignIn, withdraw: Callable, monkeypatch: pytest.MonkeyPatch
):
    check = User.check_password

    def checked_and_then_replaced(self: User, raw: str) -> bool:
        right = check(self, raw)
        monkeypatch.setattr(User, "check_password", check)
        withdraw(account)
        return right

    monkeypatch.setattr(User, "check_password", checked_and_then_replaced)
    answer = sign_in(client, "someuser", "right")
    assert answer.status_code == (400 if sign_in is by_oauth else 401)
    if sign_in is by_oauth:
        assert answer.json()["error"] == "invalid_grant"
    assert not Session.objects.filter(user=account, revoked=None).exists()


@pytest.mark.slow
def test_an_improved_hash_does_not_overwrite_a_newer_password(account: User, settings):
    found = User.objects.get(pk=account.pk)
    replace_password(account)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    assert found.check_password("right")  # of the hash that it read, which would be kept in a better form
    assert User.objects.get(pk=account.pk).check_password("replaced")


@pytest.mark.slow
def test_an_improved_hash_is_stored_and_ends_no_session(client: Client, account: User, settings):
    token = by_auth(client, "someuser", "right").json()["token"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    assert by_auth(client, "someuser", "right").status_code == 200
    assert User.objects.get(pk=account.pk).password.startswith("pbkdf2")
    assert opens(client, token)
    User.objects.filter(pk=account.pk).update(password=make_password("replaced"))  # also in the same transaction
    assert not opens(client, token)


def introspect(client: Client, asking: User, secret: str):
    headers = {"authorization": f"Bearer {sessions.open_opaque(asking)}"}
    return client.post("/oauth/introspect/", f"token={secret}", content_type=FORM, headers=headers)


def test_introspection_is_for_staff_only(client: Client, account: User):
    staff = User.objects.create_user("staff", is_staff=True)
    tokens = by_oauth(client, "someuser", "right").json()
    seen = introspect(client, staff, tokens["access_token"]).json()
    assert (seen["active"], seen["username"], seen["client_id"]) == (True, "someuser", "lockstep-dev")
    assert 3500 < seen["exp"] - timezone.now().timestamp() <= 3600
    assert introspect(client, staff, tokens["refresh_token"]).json() == {"active": False}
    assert introspect(client, account, tokens["access_token"]).status_code == 403


@pytest.mark.parametrize("content_type", [FORM, ""])
def test_introspection_without_a_token_is_400(client: Client, content_type: str):
    staff = User.objects.create_user("staff", is_staff=True)
    headers = {"authorization": f"Bearer {sessions.open_opaque(staff)}"}
    answer = client.generic("POST", "/oauth/introspect/", b"", content_type, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": "token", "detail": "This field is required."}]


def test_introspection_accepts_a_token_type_hint(client: Client):
    staff = User.objects.create_user("staff", is_staff=True)
    assert introspect(client, staff, "unknown&token_type_hint=access_token").json() == {"active": False}


@pytest.mark.parametrize("path", ["/oauth/token/", "/oauth/revoke_token/"])
@pytest.mark.parametrize("way", ["form", "basic", "encoded basic"])
def test_a_client_id_with_nul_is_invalid_client(client: Client, path: str, way: str):
    fields = {"grant_type": "password", "username": "u", "password": "p", "token": "t"}
    if way == "form":
        answer = form(client, path, client_id="a\0b", client_secret="s", **fields)
    else:
        credentials = base64.b64encode(b"a\0b:s" if way == "basic" else b"a%00b:s").decode()
        client.defaults["HTTP_AUTHORIZATION"] = f"Basic {credentials}"
        answer = form(client, path, **fields)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_name_with_nul_is_400(client: Client, account: User):
    assert by_oauth(client, "some\0user", "right").status_code == 400


# --- Forgeries ------------------------------------------------------------------------------------------


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "header",
    [{"alg": "none", "typ": "JWT"}, {"alg": "None"}, {"alg": "nOnE"}, {"alg": "HS256"}, {"alg": "RS256"}, {"alg": ""}],
)
@pytest.mark.parametrize("signature", ["", "AAAA", "x" * 43])
def test_unsigned_tokens_are_401(client: Client, account: User, header: dict, signature: str):
    access = sessions.open_pair(account).access
    claims = jwt.decode(access, options={"verify_signature": False})
    assert not opens(client, f"{encoded(header)}.{encoded(claims)}.{signature}")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("key", ["", "secret", "settings"])
def test_tokens_of_another_key_are_401(client: Client, account: User, algorithm: str, key: str, settings):
    access = sessions.open_pair(account).access
    claims = jwt.decode(access, options={"verify_signature": False})
    key = settings.SECRET_KEY if key == "settings" else key.ljust(64, "x")
    assert not opens(client, jwt.encode(claims, key, algorithm=algorithm))
