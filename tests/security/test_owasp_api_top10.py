"""Attacks by the OWASP API Security Top 10 (2023), each a vector of its own; docs/security.md is their table."""

import asyncio
import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
import pytest
from django.db import connection
from django.test import Client
from oauth2_provider.models import Application

from backend.accounts import backends, sessions
from backend.accounts.development import ensure_client
from backend.accounts.models import Follow, Session, Token, User
from backend.posts.models import Comment, Post
from backend.providers.jsonplaceholder import JsonPlaceholder
from lockstep.delivery.destinations import resolving
from lockstep.delivery.destinations.addresses import ForbiddenAddress
from lockstep.delivery.destinations.resolving import PublicResolver
from lockstep.delivery.models import Subscription
from lockstep.http.errors import MalformedResponse, Refused
from lockstep.rest import rate_limit
from lockstep.webhooks.models import Endpoint
from tests.acceptance.running import ROOT
from tests.security import test_authorisation_matrix as matrix
from tests.support import Cast

pytestmark = pytest.mark.django_db

RISKS = [f"API{number}" for number in range(1, 11)]
MIN_VECTORS = 300
COUNTED: Counter[str] = Counter()

FAKE, USERS, HOOKS = "/fakeapi/v1/posts/", "/api/v1/users/", "/api/v1/webhooks/"
ME, CHANGES, REGISTER = f"{USERS}me/", "/api/v1/changes/", f"{USERS}register/"
FORM = "application/x-www-form-urlencoded"
URL = "https://example.com/the-owners-own-path"
POST = {"title": "t", "body": "b"}
COMMENT = {"name": "n", "email": "e@example.com", "body": "b"}
HOOK = {"url": URL, "events": ["posts.post.*"]}
PASSWORD = "correct horse battery"
OTHERS = ("outsider", "colleague", "staff")


def vectors(risk: str, names: str, found: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrises a test with attacks of one risk, and counts them."""
    attacks = list(found)
    COUNTED[risk] += len(attacks)
    return pytest.mark.parametrize(names, attacks, ids=[f"{risk} {label(attack)}" for attack in attacks])


def label(attack: Any) -> str:
    parts = attack.values if hasattr(attack, "marks") else attack if isinstance(attack, tuple) else (attack,)
    return " ".join(part if isinstance(part, str) and part.isascii() else ascii(part) for part in parts)[:80]


# --- What the attacks are made with ---------------------------------------------------------------------


@pytest.fixture(autouse=True)
def limits(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts with empty counts; tests that need a small limit set it."""
    monkeypatch.setattr("lockstep.rest.views.limiter", rate_limit.FixedWindowLimiter())
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 1_000_000}
    settings.REGISTRATIONS_PER_HOUR = 1_000_000


@pytest.fixture
def hook(cast: Cast) -> dict[str, Any]:
    """The owner's endpoint, with its secret."""
    return cast.owner.post(HOOKS, HOOK).json()


@pytest.fixture
def post(cast: Cast) -> int:
    """The number of a post of the owner's."""
    return cast.owner.post(f"{FAKE}create/", POST).json()["id"]


@pytest.fixture
def comment(cast: Cast, post: int) -> int:
    """The number of a comment on it."""
    return cast.owner.post(f"{FAKE}{post}/comments/create/", COMMENT).json()["id"]


def ask(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic(method, path, content, content_type="application/json", headers=headers)


def submit(client: Client, path: str, **fields: str) -> Any:
    return client.post(path, urlencode(fields), content_type=FORM)


def stranger(**headers: str) -> Client:
    return Client(headers=headers, raise_request_exception=False)


MODELS = (User, Follow, Session, Token, Endpoint, Subscription, Post, Comment, Application)
EVERYTHING = " UNION ALL ".join(
    f"SELECT '{table}', coalesce(string_agg(one::text, ' ' ORDER BY one::text), '') FROM {table} one"
    for table in (model._meta.db_table for model in MODELS)
)


def everything() -> dict[str, str]:
    """All rows that an attack could be after, in one statement: many tests look before and after."""
    with connection.cursor() as cursor:
        cursor.execute(f"{EVERYTHING} UNION ALL SELECT 'changes', count(*)::text FROM lockstep_change")
        return dict(cursor.fetchall())


def assert_problem(answer: Any, *statuses: int) -> dict[str, Any]:
    assert answer.status_code in statuses, answer.content[:500]
    body: dict[str, Any] = answer.json()
    # Those of OAuth 2 are the protocol's, and have its code (RFC 6749, 5.2); they have a problem's members, too.
    assert answer["Content-Type"] == ("application/json" if "error" in body else "application/problem+json")
    assert {"type", "title", "status", "detail", "errors"} <= body.keys()
    return body


# === API1: Broken object level authorisation ==============================================================

ON_AN_ENDPOINT = [
    ("GET", "", None),
    ("PATCH", "", {"url": "https://evil.example.com/"}),
    ("DELETE", "", None),
    ("POST", "rotate/", {}),
    ("POST", "test/", {}),
    ("GET", "attempts/", None),
    ("POST", "redeliver/", {"dead_letters": True}),
]


@vectors("API1", "who, on", product(OTHERS, ON_AN_ENDPOINT))
def test_an_endpoint_of_another_user_is_404(cast: Cast, hook: dict, who: str, on: tuple):
    method, path, body = on
    before = everything()
    answer = ask(getattr(cast, who).client, method, f"{HOOKS}{hook['id']}/{path}", body)
    assert_problem(answer, 404)
    assert everything() == before
    assert URL not in answer.content.decode()


CONDITIONS = [
    {"if-none-match": "*"},
    {"if-none-match": '"1"'},
    {"if-match": '"1"'},
    {"if-match": "*"},
    {"if-match": '"999"'},
    {"range": "bytes=0-1"},
    {"prefer": "return=representation"},
    {"accept": "text/event-stream"},
]


@vectors("API1", "method, condition", product(("GET", "HEAD", "PATCH", "DELETE"), CONDITIONS))
def test_existence_of_another_users_object_is_not_revealed(cast: Cast, hook: dict, method: str, condition: dict):
    answers = [ask(cast.outsider.client, method, f"{HOOKS}{key}/", {}, **condition) for key in (hook["id"], uuid4())]
    assert answers[0].status_code == answers[1].status_code in (404, 406)
    assert answers[0].content == answers[1].content
    assert "ETag" not in answers[0]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "no hyphens": lambda key: key.replace("-", ""),
    "braces": lambda key: f"{{{key}}}",
    "urn": lambda key: f"urn:uuid:{key}",
    "percent": lambda key: "".join(f"%{ord(letter):02x}" for letter in key),
    "suffix": lambda key: f"{key}.json",
    "parameter": lambda key: f"{key};owner=outsider",
    "traversal": lambda key: f"x/../{key}",
    "wildcard": lambda key: "%25",
    "list": lambda key: f"{key},{key}",
}


@vectors("API1", "spelling", SPELLINGS)
def test_another_spelling_of_its_id_leads_nowhere(cast: Cast, hook: dict, spelling: str):
    path = f"{HOOKS}{SPELLINGS[spelling](hook['id'])}/"
    for method in ("GET", "DELETE"):
        assert_problem(ask(cast.outsider.client, method, path), 404)
    assert Endpoint.objects.alive().exists()


@vectors("API1", "query", ["owner={owner}", "owner_id={owner}", "user={owner}", "id={key}", "limit=500", "all=true"])
@pytest.mark.parametrize("who", OTHERS)
def test_lists_have_no_objects_of_other_users(cast: Cast, hook: dict, who: str, query: str):
    query = query.format(owner=cast.owner.user.pk, key=hook["id"])
    answer = getattr(cast, who).get(f"{HOOKS}?{query}")
    assert answer.status_code == 400 or answer.json()["results"] == []


def test_a_place_in_the_owners_list_shows_nothing_to_others(cast: Cast):
    for _ in range(3):
        cast.owner.post(HOOKS, HOOK)
    following = cast.owner.get(f"{HOOKS}?limit=1").json()["next"]
    assert cast.outsider.get(following).json()["results"] == []


@vectors("API1", "who, method", product(("owner", "outsider"), ("GET", "PUT", "DELETE")))
def test_a_comment_is_not_reached_through_another_post(cast: Cast, comment: int, who: str, method: str):
    other = cast.owner.post(f"{FAKE}create/", POST).json()["id"]
    verb = {"GET": "", "PUT": "update/", "DELETE": "delete/"}[method]
    before = everything()
    body = COMMENT if method == "PUT" else None
    assert_problem(ask(getattr(cast, who).client, method, f"{FAKE}{other}/comments/{verb}{comment}/", body), 404)
    assert everything() == before


HISTORIES = [
    *product(("outsider", "colleague"), ("lockstep_webhooks.endpoint/{hook}", "accounts.follow/{follow}")),
    *product(("owner", "outsider", "colleague"), ("accounts.user/{owner}", "accounts.user/{number}")),
    *product(("owner", "outsider"), ("accounts.session/{session}", "auth.user/1", "admin.logentry/1")),
]


@vectors("API1", "who, what", HISTORIES)
def test_a_history_is_for_readers_of_the_object(cast: Cast, hook: dict, who: str, what: str):
    ask(cast.owner.client, "POST", f"{USERS}{cast.staff.user.pk}/follow/")
    names = {"hook": hook["id"], "follow": Follow.objects.get().pk, "owner": cast.owner.user.pk}
    number, session = cast.owner.user.number, Session.objects.filter(user=cast.owner.user).get().pk
    path = f"/api/v1/history/{what.format(**names, number=number, session=session)}/"
    for _ in range(2):
        assert_problem(getattr(cast, who).get(path), 404)
        cast.owner.delete(f"{HOOKS}{hook['id']}/")  # nor when it is gone


NAMED_HEADERS = ("X-User-Id", "X-User", "X-Username", "X-Forwarded-User", "Remote-User", "X-Remote-User", "From")
MORE_HEADERS = ("X-Authenticated-User", "X-Original-User", "Impersonate-User", "X-Account-Id", "X-Auth-Request-User")


@vectors("API1", "name", NAMED_HEADERS + MORE_HEADERS)
def test_a_header_cannot_set_the_user(cast: Cast, name: str):
    for value in (str(cast.owner.user.pk), str(cast.owner.user.number), "owner"):
        seen = cast.outsider.client.get(ME, headers={name: value})
        assert seen.json()["username"] == "outsider"
        assert_problem(stranger(**{name: value}).get(ME), 401)


@vectors("API1", "name", ["user", "user_id", "id", "username", "number", "as", "owner"])
def test_the_address_cannot_set_the_user(cast: Cast, name: str):
    assert_problem(cast.outsider.get(f"{ME}?{name}={cast.owner.user.pk}"), 400)
    answer = ask(cast.outsider.client, "PATCH", f"{ME}?{name}={cast.owner.user.pk}", {"first_name": "Evil"})
    assert_problem(answer, 400)
    assert User.objects.get(username="owner").first_name == ""


@vectors("API1", "path, body", [(HOOKS, HOOK), (f"{FAKE}create/", POST)])
def test_an_idempotency_key_of_another_user_replays_nothing(cast: Cast, path: str, body: dict):
    answers = [
        ask(one.client, "POST", path, body, **{"idempotency-key": "same"}) for one in (cast.owner, cast.outsider)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert "Idempotent-Replayed" not in answers[1]
    assert answers[0].json()["id"] != answers[1].json()["id"]


OF_ONES_OWN = [
    ("POST", "/api/v1/auth/sign-out/", None),
    ("DELETE", ME, {"password": "outsider-password"}),
    ("POST", f"{ME}password/", {"current_password": "outsider-password", "new_password": PASSWORD}),
    ("PATCH", ME, {"first_name": "F"}),
]


@vectors("API1", "method, path, body", OF_ONES_OWN)
def test_changes_of_ones_own_account_do_not_affect_others(cast: Cast, method: str, path: str, body: dict | None):
    def owners() -> list[Any]:
        users = User.objects.filter(username="owner").values()
        return [*users, *Session.objects.filter(user__username="owner").values()]

    before = owners()
    assert ask(cast.outsider.client, method, path, body).status_code < 300
    assert owners() == before


DELETED = ["post", "comment", "comments", "hook", "user", "followers"]


@vectors("API1", "who, what", product(("outsider", "staff"), DELETED))
def test_deleted_objects_are_gone_for_every_user(cast: Cast, hook: dict, post: int, comment: int, who: str, what: str):
    paths = {
        "post": f"{FAKE}{post}/",
        "comment": f"{FAKE}{post}/comments/{comment}/",
        "comments": f"{FAKE}{post}/comments/",
        "hook": f"{HOOKS}{hook['id']}/",
        "user": f"{USERS}{cast.owner.user.pk}/",
        "followers": f"{USERS}{cast.owner.user.number}/followers/",
    }
    cast.owner.delete(f"{FAKE}delete/{post}/")
    cast.owner.delete(f"{HOOKS}{hook['id']}/")
    leaving = cast.owner.client.delete(ME, {"password": "owner-password"}, content_type="application/json")
    assert leaving.status_code == 204
    assert_problem(getattr(cast, who).get(paths[what]), 404)


# === API2: Broken authentication ==========================================================================

SIGN_IN_ENDPOINTS = [("/auth/", "username"), ("/api/token/", "name"), ("/api/v1/auth/token/", "username")]
WRONG_CREDENTIALS: list[tuple[Any, Any]] = [
    ("owner", "wrong"),
    ("owner", ""),
    ("owner", "owner-password "),
    ("owner", "OWNER-PASSWORD"),
    ("owner", "owner-password\0"),
    ("owner\0", "owner-password"),
    ("", "owner-password"),
    ("' OR '1'='1", "' OR '1'='1"),
    ("owner' --", "x"),
    ("%", "%"),
    ("*", "*"),
    ("owner", {"$ne": None}),
    ({"$gt": ""}, "owner-password"),
    ("owner", ["owner-password"]),
    (["owner"], "owner-password"),
    ("owner", True),
    ("owner", None),
    (None, None),
    (0, "owner-password"),
    ("owner", "x" * 1_025),
    ("o" * 255, "owner-password"),
]


@vectors("API2", "endpoint, given", product(SIGN_IN_ENDPOINTS, WRONG_CREDENTIALS))
def test_wrong_credentials_are_refused_at_every_endpoint(cast: Cast, endpoint: tuple[str, str], given: tuple[Any, Any]):
    path, field = endpoint
    before = everything()
    assert_problem(ask(stranger(), "POST", path, {field: given[0], "password": given[1]}), 400, 401)
    assert everything() == before


@vectors("API2", "name, password", [pair for pair in WRONG_CREDENTIALS if all(isinstance(one, str) for one in pair)])
def test_wrong_credentials_are_refused_by_oauth(cast: Cast, name: str, password: str):
    ensure_client()
    before = everything()
    fields = {"grant_type": "password", "client_id": "lockstep-dev", "username": name, "password": password}
    assert_problem(submit(stranger(), "/oauth/token/", **fields), 400, 401)
    assert everything() == before


EVASIONS: dict[str, Callable[[int], tuple[str, dict[str, str]]]] = {
    "nothing": lambda n: ("owner", {}),
    "X-Forwarded-For": lambda n: ("owner", {"x-forwarded-for": f"198.51.100.{n}"}),
    "X-Real-IP": lambda n: ("owner", {"x-real-ip": f"198.51.100.{n}"}),
    "Forwarded": lambda n: ("owner", {"forwarded": f"for=198.51.100.{n}"}),
    "Client-IP": lambda n: ("owner", {"true-client-ip": f"198.51.100.{n}", "cf-connecting-ip": f"198.51.100.{n}"}),
    "case": lambda n: ("oWNER"[:n] + "owner"[n:] if n < 5 else "OWNER", {}),
    "blanks": lambda n: ("owner" + " " * n, {}),
    "keys": lambda n: ("owner", {"idempotency-key": f"{n}"}),
    "agents": lambda n: ("owner", {"user-agent": f"browser {n}"}),
}


@vectors("API2", "endpoint, evasion", product(SIGN_IN_ENDPOINTS, EVASIONS))
def test_guessing_is_throttled_whatever_the_guesser_varies(cast: Cast, endpoint: tuple[str, str], evasion: str):
    path, field = endpoint
    client = stranger()

    def guess(number: int) -> Any:
        name, headers = EVASIONS[evasion](number)
        return ask(client, "POST", path, {field: name, "password": f"guess-{number}"}, **headers)

    assert [guess(number).status_code for number in range(10)] == [401] * 10
    assert int(guess(11)["Retry-After"]) > 0
    assert_problem(guess(12), 429)


@vectors("API2", "evasion", ["nothing", "X-Forwarded-For", "case", "blanks"])
def test_guessing_at_the_admin_is_stopped(cast: Cast, client: Client, evasion: str):
    def sign_in(number: int, password: str) -> None:
        name, headers = EVASIONS[evasion](number)
        fields = {"username": name.lower().replace("owner", "staff"), "password": password}
        client.post("/admin/login/", fields, headers=headers)

    for number in range(11):
        sign_in(number, f"guess-{number}")
    sign_in(12, "staff-password")
    assert "_auth_user_id" not in client.session


WEAK = ["", "1234", "12345678", "password", "qwertyuiop", "newcomer", "newcomer1", "short1!", "iloveyou", "x" * 1_025]


@vectors("API2", "path, password", product(("/api/register/", REGISTER), [*WEAK, None, 12345678, ["x"], {}, True]))
def test_a_password_that_is_easy_or_none_makes_no_account(db: None, path: str, password: Any):
    field = "name" if path == "/api/register/" else "username"
    assert_problem(ask(stranger(), "POST", path, {field: "newcomer", "password": password}), 400)
    assert not User.objects.exists()


@vectors("API2", "password", [*WEAK, None])
def test_a_weak_password_is_refused_as_a_new_one(cast: Cast, password: Any):
    before = everything()
    body = {"current_password": "owner-password", "new_password": "owner" if password == "newcomer" else password}
    assert_problem(ask(cast.owner.client, "POST", f"{ME}password/", body), 400)
    assert everything() == before


@vectors("API2", "current", ["", "wrong", "colleague-password", "OWNER-PASSWORD", "owner-password ", None, True, []])
def test_a_new_password_needs_the_current_one(cast: Cast, current: Any):
    before = everything()
    body = {"current_password": current, "new_password": PASSWORD}
    assert_problem(ask(cast.owner.client, "POST", f"{ME}password/", body), 400)
    assert everything() == before


@vectors("API2", "state", [{"username": "another"}, {"is_active": False}, {"deleted": "2026-01-01T00:00:00Z"}])
def test_a_name_that_may_not_sign_in_costs_as_much_time(cast: Cast, monkeypatch: pytest.MonkeyPatch, state: dict):
    hashed: list[str] = []
    monkeypatch.setattr(backends, "make_password", hashed.append)
    User.objects.filter(username="owner").update(**state)
    assert_problem(ask(stranger(), "POST", "/auth/", {"username": "owner", "password": "owner-password"}), 401)
    assert hashed == ["owner-password"]


@vectors("API2", "endpoint", [*SIGN_IN_ENDPOINTS, ("/oauth/token/", "username"), ("/api/v1/auth/refresh/", "")])
def test_tokens_are_not_kept_on_the_way(cast: Cast, endpoint: tuple[str, str]):
    ensure_client()
    path, field = endpoint
    if "oauth" in path:
        fields = {"grant_type": "password", "client_id": "lockstep-dev"}
        answer = submit(stranger(), path, **fields, username="owner", password="owner-password")
    elif field:
        answer = ask(stranger(), "POST", path, {field: "owner", "password": "owner-password"})
    else:
        answer = ask(stranger(), "POST", path, {"refresh": sessions.open_pair(cast.owner.user).refresh})
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert not answer.cookies


TAKEN = ["OWNER", "Owner", "owner ", " owner", "owner\n", "owner\t", "owner\0", "owner\u200b", "ow ner"]
FULL_WIDTH = ["\uff4f\uff57\uff4e\uff45\uff52", "\uff2f\uff37\uff2e\uff25\uff32", "\u24de\u24e6\u24dd\u24d4\u24e1"]


@vectors("API2", "name", [*TAKEN, *FULL_WIDTH])
def test_names_that_look_like_another_are_refused(cast: Cast, name: str):
    before = everything()
    assert_problem(ask(stranger(), "POST", REGISTER, {"username": name, "password": PASSWORD}), 400)
    assert everything() == before


# === API3: Broken object property level authorisation =====================================================

PROTECTED_OF_USERS = {
    "is_staff": True,
    "is_superuser": True,
    "is_active": False,
    "number": 1,
    "id": str(uuid4()),
    "pk": str(uuid4()),
    "groups": [1],
    "user_permissions": [1],
    "created": "2000-01-01T00:00:00Z",
    "updated": "2000-01-01T00:00:00Z",
    "deleted": "2000-01-01T00:00:00Z",
    "version": 99,
    "last_login": "2000-01-01T00:00:00Z",
    "date_joined": "2000-01-01T00:00:00Z",
    "scope": "admin",
    "__class__": "User",
    "sessions": [],
}
OF_USERS = ("is_staff", "is_superuser", "is_active", "number", "id", "created", "deleted", "version", "last_login")


def columns(row: Any, names: Iterable[str]) -> dict[str, Any]:
    row.refresh_from_db()
    return {name: getattr(row, name) for name in names}


@vectors("API3", "name", [*PROTECTED_OF_USERS, "password"])
def test_a_profile_accepts_writable_fields_only(cast: Cast, name: str):
    names = [one for one in OF_USERS if one != "version"] + ["password"]
    before = columns(cast.owner.user, names)
    value = PROTECTED_OF_USERS.get(name, PASSWORD)
    assert ask(cast.owner.client, "PATCH", ME, {"first_name": "F", name: value}).status_code in (200, 400)
    assert columns(cast.owner.user, names) == before


@vectors("API3", "path, name", product((REGISTER, "/api/register/"), PROTECTED_OF_USERS))
def test_registration_grants_no_rights(db: None, path: str, name: str):
    field = "name" if path == "/api/register/" else "username"
    body = {field: "newcomer", "password": PASSWORD, name: PROTECTED_OF_USERS[name]}
    answer = ask(stranger(), "POST", path, body)
    assert answer.status_code in (201, 400)
    for user in User.objects.all():
        assert (user.is_staff, user.is_superuser, user.is_active, user.deleted) == (False, False, True, None)
        assert getattr(user, name, None) != PROTECTED_OF_USERS[name]
        assert not user.groups.exists()


PROTECTED_OF_HOOKS = {
    "owner": "{outsider}",
    "owner_id": "{outsider}",
    "secret": "whsec_AAAA",
    "old_secrets": ["whsec_AAAA"],
    "old_secrets_until": ["2100-01-01T00:00:00Z"],
    "failing_since": "2000-01-01T00:00:00Z",
    "disabled": None,
    "reason": "because",
    "id": str(uuid4()),
    "created": "2000-01-01T00:00:00Z",
    "deleted": "2000-01-01T00:00:00Z",
    "version": 99,
    "subscription": "posts",
}
OF_HOOKS = (
    "id",
    "owner_id",
    "old_secrets",
    "old_secrets_until",
    "failing_since",
    "disabled",
    "reason",
    "created",
    "deleted",
)


@vectors("API3", "method, name", product(("POST", "PATCH"), PROTECTED_OF_HOOKS))
def test_an_endpoint_accepts_writable_fields_only(cast: Cast, hook: dict, method: str, name: str):
    value = PROTECTED_OF_HOOKS[name]
    value = value.format(outsider=cast.outsider.user.pk) if isinstance(value, str) else value
    kept = Endpoint.objects.get()
    before, secret = columns(kept, OF_HOOKS), bytes(kept.secret)
    path = HOOKS if method == "POST" else f"{HOOKS}{hook['id']}/"
    assert ask(cast.owner.client, method, path, {**HOOK, name: value}).status_code in (200, 201, 400)
    assert columns(kept, OF_HOOKS) == before
    assert bytes(kept.secret) == secret
    for made in Endpoint.objects.exclude(pk=kept.pk):
        assert (made.owner, made.reason, made.deleted) == (cast.owner.user, "", None)
        assert str(made.pk) != value


CHOSEN = 7_000_007  # a number that no sequence of the tests comes to
PROTECTED_OF_POSTS = {
    **{"id": CHOSEN, "userId": 1, "user_id": 1, "number": CHOSEN, "postId": 1, "post": 1, "post_id": 1, "parent": 1},
    **{"created": "2000-01-01T00:00:00Z", "deleted": "2000-01-01T00:00:00Z", "version": 99, "owner": "x"},
}
WRITES = ["create/", "update/{post}/", "{post}/comments/create/", "{post}/comments/update/{comment}/"]


@vectors("API3", "path, name", product(WRITES, PROTECTED_OF_POSTS))
def test_ids_and_parents_of_posts_are_shown_and_never_taken(cast: Cast, post: int, comment: int, path: str, name: str):
    body = {**(COMMENT if "comments" in path else POST), name: PROTECTED_OF_POSTS[name]}
    method = "PUT" if "update" in path else "POST"
    known = {"post": Post.objects.get(), "comment": Comment.objects.get()}
    names = {
        "post": ("pk", "number", "user_id", "deleted", "created"),
        "comment": ("pk", "number", "post_id", "deleted"),
    }
    before = {one: columns(row, names[one]) for one, row in known.items()}
    answer = ask(cast.owner.client, method, FAKE + path.format(post=post, comment=comment), body)
    assert answer.status_code in (200, 201, 400)
    assert {one: columns(row, names[one]) for one, row in known.items()} == before
    for made in Post.objects.exclude(pk=known["post"].pk):
        assert (made.number != CHOSEN, made.user_id, made.deleted) == (True, 99999942, None)
    for made in Comment.objects.exclude(pk=known["comment"].pk):
        assert (made.number != CHOSEN, made.post, made.deleted) == (True, known["post"], None)


@vectors("API3", "name", ["scope", "is_staff", "expires", "client", "address", "user", "lifetime"])
@pytest.mark.parametrize("endpoint", SIGN_IN_ENDPOINTS)
def test_a_sign_in_endpoint_returns_its_own_kind_of_token_only(cast: Cast, endpoint: tuple[str, str], name: str):
    path, field = endpoint
    before = everything()
    body = {field: "owner", "password": "owner-password", name: "read write admin"}
    assert_problem(ask(stranger(), "POST", path, body), 400)
    assert everything() == before


PERSON = {"id", "number", "username", "first_name", "last_name", "followers", "following", "created"}
PROFILE = {"id", "number", "username", "email", "first_name", "last_name", "is_staff", "created", "updated"}
ENDPOINT = {"id", "url", "events", "description", "active", "reason", "failing_since", "created", "updated"}
SHOWN: dict[str, tuple[str, str, set[str]]] = {
    "a person": ("outsider", USERS + "{owner}/", PERSON),
    "a person by number": ("outsider", USERS + "{number}/", PERSON),
    "a person to staff": ("staff", USERS + "{owner}/", PERSON),
    "followers": ("outsider", USERS + "{colleague}/followers/", PERSON),
    "followed": ("outsider", USERS + "{staff}/following/", PERSON),
    "oneself": ("outsider", ME, PROFILE),
    "an endpoint": ("owner", HOOKS + "{hook}/", ENDPOINT),
    "endpoints": ("owner", HOOKS, ENDPOINT),
    "a post": ("outsider", FAKE + "{post}/", {"id", "userId", "title", "body"}),
    "posts": ("outsider", FAKE, {"id", "userId", "title", "body"}),
    "a comment": ("outsider", FAKE + "{post}/comments/{comment}/", {"id", "postId", "name", "email", "body"}),
    "comments": ("outsider", FAKE + "{post}/comments/", {"id", "postId", "name", "email", "body"}),
    "readiness": ("outsider", "/readyz/", {"database", "migrations", "worker", "periodic", "mirrors"}),
}


@vectors("API3", "what", SHOWN)
def test_an_answer_has_these_members_and_no_others(cast: Cast, hook: dict, post: int, comment: int, what: str):
    ask(cast.owner.client, "POST", f"{USERS}{cast.colleague.user.pk}/follow/")
    ask(cast.staff.client, "POST", f"{USERS}{cast.owner.user.pk}/follow/")
    who, path, members = SHOWN[what]
    people = {name: getattr(cast, name).user.pk for name in ("owner", "colleague", "staff")}
    names = {**people, "number": cast.owner.user.number, "hook": hook["id"], "post": post, "comment": comment}
    document = getattr(cast, who).get(path.format(**names)).json()
    rows = document if isinstance(document, list) else document.get("results", [document])
    assert rows
    assert all(set(row) == members for row in rows)


@vectors(
    "API3", "path", [CHANGES, f"{CHANGES}?model=accounts.user", "/api/v1/history/accounts.user/{owner}/", HOOKS, ME]
)
def test_responses_to_staff_contain_no_secret(cast: Cast, hook: dict, path: str):
    secrets = [hook["secret"], URL, *User.objects.values_list("password", flat=True)]
    body = cast.staff.get(path.format(owner=cast.owner.user.pk)).content.decode()
    assert not [secret for secret in secrets if secret in body]
    assert "argon2" not in body
    assert "lsk_" not in body


@vectors(
    "API3", "events", ["accounts.user.*", "accounts.user.created", "accounts.user.updated", "accounts.user.deleted"]
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_only_staff_may_read_is_not_subscribed_to(cast: Cast, hook: dict, method: str, events: str):
    before = everything()
    path = HOOKS if method == "POST" else f"{HOOKS}{hook['id']}/"
    assert_problem(ask(cast.owner.client, method, path, {**HOOK, "events": [events]}), 400)
    assert everything() == before


# === API4: Unrestricted resource consumption ==============================================================

TAKES_A_BODY = ["/auth/", "/api/token/", "/api/register/", "/api/v1/auth/token/", "/api/v1/auth/refresh/", REGISTER]
TAKES_A_BODY += ["/api/v1/auth/verify/", f"{ME}password/", HOOKS, f"{FAKE}create/"]


@vectors("API4", "path", [*TAKES_A_BODY, "/oauth/token/", "/oauth/revoke_token/"])
def test_a_body_above_one_mebibyte_is_not_read(cast: Cast, path: str):
    before = everything()
    content_type = FORM if "oauth" in path else "application/json"
    assert_problem(cast.owner.client.post(path, b"x" * 1_100_000, content_type=content_type), 413)
    assert everything() == before


@vectors("API4", "path, opening", product(TAKES_A_BODY, ("[", '{"a":')))
def test_a_body_that_is_too_deep_is_not_looked_at(cast: Cast, path: str, opening: str):
    before = everything()
    closing = "]" if opening == "[" else "}"
    body = opening * 5_000 + "1" + closing * 5_000
    assert_problem(ask(cast.owner.client, "POST", path, body.encode()), 400)
    assert everything() == before


LONG = {
    "title": (f"{FAKE}create/", {**POST, "title": "t" * 1_001}),
    "body": (f"{FAKE}create/", {**POST, "body": "b" * 100_001}),
    "events": (HOOKS, {**HOOK, "events": ["posts.*"] * 51}),
    "an event": (HOOKS, {**HOOK, "events": ["p" * 201]}),
    "url": (HOOKS, {**HOOK, "url": "https://example.com/" + "a" * 2_000}),
    "description": (HOOKS, {**HOOK, "description": "d" * 501}),
    "username": (REGISTER, {"username": "u" * 151, "password": PASSWORD}),
    "email": (REGISTER, {"email": "e" * 250 + "@example.com", "password": PASSWORD}),
    "first_name": (REGISTER, {"username": "u", "first_name": "f" * 151, "password": PASSWORD}),
    "password": (REGISTER, {"username": "u", "password": "p" * 1_025}),
    "sign-in name": ("/auth/", {"username": "u" * 255, "password": "p"}),
    "refresh token": ("/api/v1/auth/refresh/", {"refresh": "r" * 4_097}),
    "verified token": ("/api/v1/auth/verify/", {"token": "t" * 4_097}),
    "number": (f"{FAKE}create/", {**POST, "title": 10**400}),
}


@vectors("API4", "what", LONG)
def test_texts_beyond_their_limit_are_refused(cast: Cast, what: str):
    path, body = LONG[what]
    before = everything()
    assert_problem(ask(cast.owner.client, "POST", path, body), 400)
    assert everything() == before


@vectors("API4", "query", ["_limit=10001", "_limit=0", "_limit=-1", "_limit=1e9", "_limit=x", "_limit=%EF%BC%91"])
@pytest.mark.parametrize("path", [FAKE, FAKE + "{post}/comments/"])
def test_a_page_has_its_bounds(cast: Cast, post: int, path: str, query: str):
    assert_problem(cast.owner.get(f"{path.format(post=post)}?{query}"), 400)


@vectors("API4", "query", ["_page=0", "_page=-1", f"_page={10**10}", f"_page={'9' * 4_000}", "_page=%00", "_page=1.5"])
def test_an_offset_has_its_bounds(cast: Cast, query: str):
    assert_problem(cast.owner.get(f"{FAKE}?{query}"), 400)


@vectors("API4", "limit", ["501", "100000", "9" * 30])
def test_no_list_is_longer_than_500(cast: Cast, limit: str):
    Post.objects.bulk_create([Post(title=f"{number}", body="b") for number in range(510)])
    assert_problem(cast.staff.get(f"{CHANGES}?limit={limit}"), 400)
    assert len(cast.staff.get(f"{CHANGES}?limit=500").json()["results"]) == 500


def test_an_array_without_a_limit_has_at_most_a_thousand(cast: Cast):
    Post.objects.bulk_create([Post(title=f"{number}", body="b") for number in range(1_010)])
    assert len(cast.owner.get(FAKE).json()) == 1_000


SLOW_HEADERS = {
    "if-match": '"' * 8_000,
    "if-none-match": 'W/"a",' * 1_500 + "x",
    "idempotency-key": "k" * 8_000,
    "x-request-id": "-" * 8_000,
    "authorization": "Bearer " + "a." * 4_000,
    "accept": "application/json;q=0.1," * 400,
    "last-event-id": "1:" * 4_000,
    "accept-language": "en;q=0.1," * 800,
    "content-type": "application/json;" + "a=" * 4_000,
    "x-forwarded-for": "1," * 4_000,
}


@vectors("API4", "name", SLOW_HEADERS)
def test_no_header_takes_long_to_read(cast: Cast, name: str):
    began = time.process_time()  # ours alone: a busy machine does not make a header slow
    headers = {name: SLOW_HEADERS[name]}
    answer = cast.staff.client.post(HOOKS, json.dumps(HOOK), content_type="application/json", headers=headers)
    assert answer.status_code < 500
    assert time.process_time() - began < 1.0


SLOW_BODIES = {
    "e-mail of quotes": (REGISTER, {"email": '"' * 250, "password": PASSWORD}),
    "e-mail of dots": (REGISTER, {"email": "a@" + "a." * 120, "password": PASSWORD}),
    "name of marks": (REGISTER, {"username": "a" * 149 + "!", "password": PASSWORD}),
    "host of hyphens": (HOOKS, {**HOOK, "url": "https://" + "a-" * 900 + "/"}),
    "host of digits": (HOOKS, {**HOOK, "url": "https://" + "1." * 900}),
    "event of dots": (HOOKS, {**HOOK, "events": ["." * 200] * 50}),
    "many fields": (HOOKS, {f"field{number}": 1 for number in range(20_000)}),
    "many events": (HOOKS, {**HOOK, "events": list(range(50_000))}),
    "one key again and again": (REGISTER, {"username": "u", "password": "a" * 1_024}),
}


@vectors("API4", "what", SLOW_BODIES)
def test_no_body_takes_long_to_read(cast: Cast, what: str):
    path, body = SLOW_BODIES[what]
    began = time.process_time()
    assert ask(cast.staff.client, "POST", path, body).status_code < 500
    assert time.process_time() - began < 2.0


@vectors("API4", "who", ["a user", "an address", "a wrong token", "another token of the user"])
def test_requests_a_minute_are_limited(cast: Cast, settings, monkeypatch: pytest.MonkeyPatch, who: str):
    monkeypatch.setattr("lockstep.rest.rate_limit.time.time", lambda: 1_000_000_010.0)
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 3}
    clients = {
        "a user": lambda: cast.owner.client,
        "an address": stranger,
        "a wrong token": lambda: stranger(authorization=f"Bearer {uuid4()}"),
        "another token of the user": lambda: stranger(authorization=f"Bearer {sessions.open_opaque(cast.owner.user)}"),
    }
    answers = [clients[who]().get(ME) for _ in range(4)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, False, True]
    assert answers[-1]["Retry-After"] == "10"
    assert_problem(answers[-1], 429)


def test_one_user_has_so_many_endpoints(cast: Cast, settings):
    settings.LOCKSTEP = settings.LOCKSTEP | {"WEBHOOKS_PER_USER": 2}
    assert [cast.owner.post(HOOKS, HOOK).status_code for _ in range(3)] == [201, 201, 409]


@vectors("API4", "path", [FAKE, ME, HOOKS, CHANGES, "/nowhere/"])
def test_an_address_has_at_most_a_thousand_parameters(cast: Cast, path: str):
    assert_problem(cast.staff.get(f"{path}?{'&'.join(f'p{number}=1' for number in range(1_001))}"), 400)


# === API5: Broken function level authorisation ============================================================

STAFFS = [("GET", CHANGES), ("GET", f"{CHANGES}?model=posts.post"), ("HEAD", CHANGES), ("POST", "/oauth/introspect/")]


@vectors("API5", "who, on", product(("owner", "outsider", "colleague"), STAFFS))
def test_staff_operations_are_403_for_others(cast: Cast, post: int, who: str, on: tuple[str, str]):
    method, path = on
    answer = getattr(cast, who).client.generic(method, path, "token=x", content_type=FORM)
    assert answer.status_code == 403
    assert b"posts.post" not in answer.content


@vectors("API5", "accept", ["text/event-stream", "text/event-stream;q=1, */*", "application/json", "*/*"])
def test_accept_headers_do_not_bypass_permissions(cast: Cast, accept: str):
    assert cast.owner.client.get(CHANGES, headers={"accept": accept}).status_code == 403
    assert_problem(stranger(accept=accept).get(CHANGES), 401)


@vectors("API5", "flag", [{"is_active": False}, {"deleted": "2026-01-01T00:00:00Z"}, {"is_staff": False}])
def test_a_right_that_is_taken_away_is_gone_at_once(cast: Cast, flag: dict):
    assert cast.staff.get(CHANGES).status_code == 200
    User.objects.filter(pk=cast.staff.user.pk).update(**flag)
    assert_problem(cast.staff.get(CHANGES), 403 if "is_staff" in flag else 401)


def test_a_superuser_without_staff_status_is_not_staff(cast: Cast):
    User.objects.filter(pk=cast.owner.user.pk).update(is_superuser=True)
    assert_problem(cast.owner.get(CHANGES), 403)


UNSAFE = [row for row in matrix.TABLE if row.method != "GET" and row.access.looks_at_tokens]


@vectors("API5", "row", [str(row) for row in UNSAFE])
def test_a_token_that_may_read_writes_nothing(cast: Cast, hook: dict, post: int, comment: int, row: str):
    method, path = row.split(" ")
    made = matrix.made_by(cast.owner.user)
    path = path.format(endpoint=hook["id"], post=post, comment=comment, user=cast.colleague.user.pk, **made)
    reader = stranger(authorization=f"Bearer {limited(cast.owner.user, 'read')}")
    before = everything()
    assert assert_problem(ask(reader, method, path, {}), 403)["type"] == "/problems/insufficient-scope"
    assert everything() == before


def limited(user: User, scope: str) -> str:
    secret = sessions.open_opaque(user)
    Session.objects.filter(tokens__digest=Token.digest_of(secret)).update(scope=scope)
    return secret


@vectors("API5", "scope", ["", "admin", "readwrite", "READ", "read,write", "*", "staff", "openid"])
def test_a_scope_that_there_is_not_is_worth_nothing(cast: Cast, scope: str):
    holder = stranger(authorization=f"Bearer {limited(cast.owner.user, scope)}")
    before = everything()
    assert_problem(holder.get(ME), 403)
    assert_problem(ask(holder, "POST", f"{FAKE}create/", POST), 403)
    assert everything() == before


OVERRIDES = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"]


@vectors("API5", "name, verb", product(OVERRIDES, ("DELETE", "PUT", "PATCH")))
def test_a_method_is_not_overridden(cast: Cast, hook: dict, post: int, name: str, verb: str):
    reader = stranger(authorization=f"Bearer {limited(cast.owner.user, 'read')}")
    before = everything()
    for path in (ME, f"{HOOKS}{hook['id']}/"):
        assert reader.get(path, headers={name: verb}).status_code == 200
        assert reader.get(f"{path}?_method={verb}", headers={name: verb}).status_code == 400
    assert_problem(ask(cast.owner.client, "POST", ME, {"_method": verb}, **{name: verb}), 405)
    assert everything() == before


@vectors(
    "API5", "name", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Original-URI"]
)
def test_an_address_is_not_overridden(cast: Cast, name: str):
    assert cast.owner.client.get("/healthz/", headers={name: CHANGES}).json() == {"status": "ok"}
    assert_problem(cast.owner.client.get(CHANGES, headers={name: "/healthz/"}), 403)


ODD_PATHS = [
    "/API/V1/CHANGES/",
    "//api/v1/changes/",
    "/api//v1/changes/",
    "/api/v1/./changes/",
    "/api/v1/x/../changes/",
]
ODD_PATHS += [
    "/api/v1/changes;/",
    "/api/v1/changes/..;/",
    "/api/v1/changes.json",
    "/api/v1/changes/%2e",
    "/api/v1/changes%2f",
]
ODD_PATHS += ["/api/v1%2fchanges/", "/api/v1/changes/%00", "/api/v1/changes//"]


@vectors("API5", "path", ODD_PATHS)
def test_another_spelling_of_the_address_leads_past_nothing(cast: Cast, post: int, path: str):
    answer = cast.owner.get(path)
    assert answer.status_code in (403, 404)
    assert b"posts.post" not in answer.content


ADMIN = [
    "",
    "posts/post/",
    "posts/post/add/",
    "posts/comment/",
    "password_change/",
    "jsi18n/",
    "autocomplete/",
    "nothing/",
]


@vectors("API5", "who, page", product(("anonymous", "owner", "staff"), ADMIN))
def test_no_token_opens_the_admin(cast: Cast, who: str, page: str):
    client = stranger() if who == "anonymous" else getattr(cast, who).client
    answer = client.get(f"/admin/{page}")
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/admin/login/")


@vectors(
    "API5", "page", [*ADMIN, "posts/post/{post}/change/", "posts/post/{post}/delete/", "posts/post/{post}/history/"]
)
def test_a_session_of_a_user_who_is_not_staff_opens_no_admin_page(cast: Cast, post: int, page: str):
    client = stranger()
    client.force_login(cast.owner.user)
    before = everything()
    path = f"/admin/{page.format(post=Post.objects.get().pk)}"
    for answer in (client.get(path), client.post(path, {**POST, "post": "yes"})):
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/admin/login/")
    assert everything() == before


@vectors("API5", "path", [ME, CHANGES, HOOKS, FAKE])
def test_nor_does_a_session_of_the_admin_open_the_api(cast: Cast, path: str):
    client = stranger()
    client.force_login(cast.staff.user)
    assert_problem(client.get(path), 401)


@vectors(
    "API5", "method, path", product(("POST", "PUT", "PATCH", "DELETE"), (CHANGES, "/api/v1/history/posts.post/1/"))
)
def test_the_log_has_no_writing_operation(cast: Cast, post: int, method: str, path: str):
    before = everything()
    assert_problem(ask(cast.staff.client, method, path, {}), 405)
    assert everything() == before


@vectors("API5", "who", ["anonymous", "owner", "staff"])
@pytest.mark.parametrize("token", ["", "the-token-of-the-figures"])
def test_metrics_need_their_token(cast: Cast, settings, who: str, token: str):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_METRICS_TOKEN": token}
    client = stranger() if who == "anonymous" else getattr(cast, who).client
    assert_problem(client.get("/metrics/"), 401 if token else 404)


# === API6: Unrestricted access to sensitive business flows ================================================


@vectors("API6", "path", ["/api/register/", REGISTER])
def test_registrations_from_one_address_are_limited(db: None, settings, path: str):
    settings.REGISTRATIONS_PER_HOUR = 3
    field = "name" if path == "/api/register/" else "username"

    def register(number: int) -> Any:
        headers = {"x-forwarded-for": f"198.51.100.{number}", "idempotency-key": f"{number}"}
        return ask(stranger(), "POST", path, {field: f"bot{number}", "password": PASSWORD}, **headers)

    assert [register(number).status_code for number in range(5)] == [201, 201, 201, 429, 429]
    assert User.objects.count() == 3


def test_both_ways_of_registering_count_together(db: None, settings):
    settings.REGISTRATIONS_PER_HOUR = 1
    assert ask(stranger(), "POST", REGISTER, {"username": "one", "password": PASSWORD}).status_code == 201
    assert_problem(ask(stranger(), "POST", "/api/register/", {"name": "two", "password": PASSWORD}), 429)


ONCE = [
    (f"{FAKE}create/", POST),
    (FAKE + "{post}/comments/create/", COMMENT),
    (HOOKS, HOOK),
    (HOOKS + "{hook}/rotate/", {}),
    (HOOKS + "{hook}/test/", {}),
    (USERS + "{colleague}/follow/", {}),
]


@vectors("API6", "path, body", ONCE)
def test_a_request_repeated_under_its_key_has_one_effect(cast: Cast, hook: dict, post: int, path: str, body: dict):
    path = path.format(post=post, hook=hook["id"], colleague=cast.colleague.user.pk)
    first = ask(cast.owner.client, "POST", path, body, **{"idempotency-key": "once"})
    after = everything()
    again = ask(cast.owner.client, "POST", path, body, **{"idempotency-key": "once"})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert everything() == after


@vectors("API6", "path, body", ONCE)
def test_a_key_does_not_stand_for_another_request(cast: Cast, hook: dict, post: int, path: str, body: dict):
    path = path.format(post=post, hook=hook["id"], colleague=cast.colleague.user.pk)
    assert ask(cast.owner.client, "POST", path, body, **{"idempotency-key": "once"}).status_code < 300
    after = everything()
    assert_problem(ask(cast.owner.client, "POST", path, {**body, "more": 1}, **{"idempotency-key": "once"}), 422)
    assert everything() == after


@vectors("API6", "times", [2, 20])
def test_to_follow_again_and_again_counts_once(cast: Cast, times: int):
    for _ in range(times):
        ask(cast.owner.client, "POST", f"{USERS}{cast.colleague.user.pk}/follow/")
    assert cast.staff.get(f"{USERS}{cast.colleague.user.pk}/").json()["followers"] == 1


@vectors("API6", "name", ["owner@example.com", "OWNER@example.com", "other@example.com"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_another_users_address_is_refused_as_a_name(cast: Cast, method: str, name: str):
    User.objects.filter(username="owner").update(email="owner@example.com")
    before = everything()
    client, path = (stranger(), REGISTER) if method == "POST" else (cast.outsider.client, ME)
    body = {"username": name} | ({"password": PASSWORD} if method == "POST" else {})
    assert_problem(ask(client, method, path, body), 400)
    assert everything() == before


@vectors("API6", "what", ["the tests", "a new secret", "a redelivery"])
def test_an_endpoint_that_is_off_sends_nothing_on_demand(cast: Cast, hook: dict, what: str):
    ask(cast.owner.client, "PATCH", f"{HOOKS}{hook['id']}/", {"active": False})
    verb, body = {"the tests": ("test", {}), "a new secret": ("rotate", {})}.get(
        what, ("redeliver", {"dead_letters": True})
    )
    before = everything()
    answer = ask(cast.owner.client, "POST", f"{HOOKS}{hook['id']}/{verb}/", body)
    assert answer.status_code == (200 if verb == "rotate" else 409)
    assert everything()["lockstep_subscription"] == before["lockstep_subscription"]


# === API7: Server side request forgery ====================================================================

INSIDE = [
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0x0.0x0.0x1", "0x7f.1"),
    *("127.0x1", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "00000000", "1", "localhost", "LOCALHOST"),
    *("10.0.0.1", "10.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.257", "3232235521", "0xc0a80001"),
    *("169.254.169.254", "169.254.0.1", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "100.64.0.1"),
    *("100.100.100.200", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]"),
    *(
        "[::ffff:7f00:1]",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::169.254.169.254]",
    ),
    *(
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
    ),
    *("[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "127\u30020\u30020\u30021"),
    *("\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "\uff4cocalhost", "\u24dbocalhost"),
]


@vectors("API7", "host", [*INSIDE, "192.0.0.192"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_no_endpoint_reaches_a_private_network(cast: Cast, hook: dict, method: str, host: str):
    before = everything()
    path = HOOKS if method == "POST" else f"{HOOKS}{hook['id']}/"
    problem = assert_problem(ask(cast.owner.client, method, path, {**HOOK, "url": f"https://{host}:8443/hook"}), 400)
    assert [error["field"] for error in problem["errors"]] == ["url"]
    assert everything() == before


TRICKS = [
    *("https:127.0.0.1", "https:/127.0.0.1/", "https:///127.0.0.1/", "//127.0.0.1/", "HTTPS://127.0.0.1/"),
    *("https://example.com@127.0.0.1/", "https://127.0.0.1@example.com/", "https://example.com:443@127.0.0.1/"),
    *(
        "https://127.0.0.1\\@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://@127.0.0.1/",
        "https://:@127.0.0.1",
    ),
    *(
        "https://127.0.0.1#@example.com/",
        "https://127.0.0.1?@example.com",
        "https://127.0.0.1:80:443/",
        "https://127.0.0.1 /",
    ),
    *(
        " https://127.0.0.1/",
        "https://127.0.0.1\t/",
        "https://\r\n127.0.0.1/",
        "https://127.0.0.1%00/",
        "https://127.0.0.1%0a/",
    ),
    *(
        "https://127.0.0.1%23.example.com/",
        "https://[127.0.0.1]/",
        "https://[::1/",
        "https://::1/",
        "https://[fe80::1%eth0]/",
    ),
    *(
        "https://example.com/\r\nHost: inside",
        "https://example.com:-1/",
        "https://example.com:65536/",
        "https://exa%6dple.com",
    ),
    *(
        "https://*/",
        "https://{host}/",
        "https://ex ample.com/",
        "http://example.com/",
        "http://127.0.0.1/",
        "ws://example.com/",
    ),
    *(
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "dict://127.0.0.1:11211/",
        "ldap://127.0.0.1/",
        "ftp://example.com/",
    ),
    *(
        "javascript:alert(1)",
        "data:text/plain,x",
        "jar:https://example.com!/",
        "netdoc:///etc/passwd",
        "unix:///run/x.sock",
    ),
]
FAULTS = [
    "https://example.com:0/",
    *(f"https://{host}/" for host in ("xn--", "xn--a.example.com")),
]


@vectors("API7", "url", [*TRICKS, *FAULTS])
def test_no_spelling_reaches_a_private_network(cast: Cast, url: str):
    before = everything()
    problem = assert_problem(cast.owner.post(HOOKS, {**HOOK, "url": url}), 400)
    assert [error["field"] for error in problem["errors"]] == ["url"]
    assert everything() == before


def test_what_stands_behind_a_fragment_is_no_host(cast: Cast):
    problem = assert_problem(cast.owner.post(HOOKS, {**HOOK, "url": "https://example.com#@127.0.0.1/"}), 400)
    assert [error["field"] for error in problem["errors"]] == ["url"]


BEHIND_A_NAME = [
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "::1",
    "fd00:ec2::254",
    "::ffff:10.0.0.1",
    "fe80::1%eth0",
    "0.0.0.0",
]
NAMES = ["metadata.google.internal", "127.0.0.1.nip.io", "xn--e1afmkfd.example", "localhost."]


def resolved(host: str) -> list[str]:
    async def run() -> list[str]:
        resolver = PublicResolver()
        try:
            return [found["host"] for found in await resolver.resolve(host, 443)]
        finally:
            await resolver.close()

    return asyncio.run(run())


@vectors("API7", "name, address", product(NAMES, BEHIND_A_NAME))
def test_a_name_that_leads_inside_is_not_connected_to(monkeypatch: pytest.MonkeyPatch, name: str, address: str):
    monkeypatch.setattr(resolving, "_addresses", lambda host, port: ["93.184.215.14", address])
    with pytest.raises(ForbiddenAddress) as refused:
        resolved(name)
    assert str(refused.value) == f"{name} has no address on the public internet"


@vectors(
    "API7",
    "name",
    ["localhost", "localhost.", "127.0.0.1.", "0177.1", "ip6-localhost", "a.localhost", "[::1]", "0x7f.1."],
)
def test_what_the_system_makes_of_a_name_of_this_machine_is_not_connected_to(name: str):
    with pytest.raises((ForbiddenAddress, OSError)):
        resolved(name)


# === API8: Security misconfiguration ======================================================================

EVERY_KIND = {
    "an object": ("GET", ME, 200),
    "a list": ("GET", FAKE, 200),
    "no such thing": ("GET", f"{FAKE}999999/", 404),
    "no such address": ("GET", "/nowhere/", 404),
    "no such method": ("DELETE", FAKE, 405),
    "no scope": ("GET", CHANGES, 403),
    "a mistake": ("POST", f"{FAKE}create/", 400),
    "a wrong type": ("POST", "/oauth/token/", 415),
    "health": ("GET", "/healthz/", 200),
    "readiness": ("GET", "/readyz/", 200),
    "figures": ("GET", "/metrics/", 404),
    "problems": ("GET", "/problems/", 200),
    "a preflight": ("OPTIONS", ME, 200),
    "sign-in": ("POST", "/auth/", 400),
    "the admin": ("GET", "/admin/", 302),
    "its sign-in": ("GET", "/admin/login/", 200),
    "a static file": ("GET", "/static/admin/css/base.css", 200),
}


@vectors("API8", "what", EVERY_KIND)
def test_every_response_has_security_headers(cast: Cast, settings, what: str):
    settings.WHITENOISE_AUTOREFRESH = False  # as outside development
    method, path, status = EVERY_KIND[what]
    answer = ask(cast.owner.client, method, path, {})
    assert answer.status_code == status
    assert "'unsafe-eval'" not in answer["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "static" in path or "no-" in answer["Cache-Control"]
    assert not [name for name in ("Server", "X-Powered-By", "Via", "X-Runtime") if name in answer]
    assert "static" in path or answer["X-Frame-Options"] == "DENY"


GOOD = "https://app.example.com"
EVIL = [
    "https://evil.example.com",
    "null",
    "http://app.example.com",
    f"{GOOD}.evil.com",
    "https://xapp.example.com",
    f"{GOOD}:444",
]
EVIL += ["https://app.example.com@evil.com", "https://APP.example.com.", "file://", "https://sub.app.example.com", "*"]


@vectors("API8", "origin", EVIL)
def test_pages_of_other_origins_read_nothing(cast: Cast, settings, origin: str):
    settings.CORS_ALLOWED_ORIGINS = [GOOD]
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    assert cast.owner.client.get(ME, headers={"origin": GOOD})["Access-Control-Allow-Origin"] == GOOD
    for method, more in (("GET", {}), ("OPTIONS", {"access-control-request-method": "DELETE"})):
        answer = ask(cast.owner.client, method, ME, None, origin=origin, **more)
        assert "Access-Control-Allow-Origin" not in answer
        assert "Access-Control-Allow-Credentials" not in answer


@vectors(
    "API8",
    "method, path",
    product(("TRACE", "TRACK", "CONNECT", "PROPFIND", "DEBUG", "FOO"), (ME, "/auth/", "/healthz/")),
)
def test_unneeded_methods_are_405(cast: Cast, method: str, path: str):
    answer = ask(cast.owner.client, method, path, None, **{"x-secret": "echo-me"})
    assert_problem(answer, 405)
    assert b"echo-me" not in answer.content


LEAKS = (
    "Traceback",
    "urlpatterns",
    "URLconf",
    "a secret detail",
    "site-packages",
    "Exception Type",
    "SELECT ",
    "psycopg",
)


def mistaken(**_: object) -> None:
    raise RuntimeError("a secret detail")


BROKEN = {
    "a mistake of ours": ("POST", f"{FAKE}create/", POST, {}, 500),
    "an unknown host": ("GET", "/problems/", None, {"host": "evil.example"}, 400),
    "no such address": ("GET", "/nowhere/", None, {}, 404),
    "no JSON": ("POST", HOOKS, b"{", {}, 400),
    "no UTF-8": ("POST", HOOKS, b"\xff", {}, 400),
    "a NUL": ("GET", f"{CHANGES}?model=%00", None, {}, 403),
    "a number past all bounds": ("GET", f"{FAKE}{'9' * 19}/", None, {}, 404),
    "no such cursor": ("GET", f"{HOOKS}?cursor=x", None, {}, 400),
    "SQL in a cursor": ("GET", f"{HOOKS}?cursor={quote('cD0nIE9SIDE9MQ==')}", None, {}, 400),
    "SQL in a field": ("PATCH", ME, {"username": "x'; DROP TABLE accounts_user; --"}, {}, 400),
    "too many parameters": ("GET", "/healthz/?" + "&".join(["a=1"] * 1_001), None, {}, 400),
    "no form": ("POST", "/oauth/token/", {"a": 1}, {}, 415),
    "a length that is none": ("POST", HOOKS, b"{}", {"transfer-encoding": "chunked"}, 411),
}


@vectors("API8", "what", BROKEN)
@pytest.mark.parametrize("debug", [False, True])
def test_no_error_reveals_its_cause(cast: Cast, settings, monkeypatch, what: str, debug: bool):
    settings.DEBUG = debug
    monkeypatch.setattr("backend.posts.actions.create_post", mistaken)
    method, path, body, headers, status = BROKEN[what]
    answer = ask(cast.owner.client, method, path, body, **headers)
    assert_problem(answer, status)
    assert not [leak for leak in LEAKS if leak in answer.content.decode()]


HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "localhost:80:80",
    "evil.example:80",
    "[::1",
    "*",
]


@vectors("API8", "host", [*HOSTS, "", "localhost/evil", "localhost evil", "localhost#", "evil.example,localhost"])
def test_another_host_is_not_answered_for(db: None, host: str):
    assert_problem(stranger(host=host).get("/problems/"), 400)


@vectors("API8", "name", ["X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-Original-Host", "Forwarded"])
def test_links_lead_to_the_host_of_the_request(cast: Cast, name: str):
    for _ in range(2):
        cast.owner.post(HOOKS, HOOK)
    page = cast.owner.client.get(f"{HOOKS}?limit=1", headers={name: "host=evil.example"})
    assert page.json()["next"].startswith("http://testserver/")


FILES = [
    "/static/../.env",
    "/static/%2e%2e/.env",
    "/static/..%2f..%2f.env",
    "/static//etc/passwd",
    "/static/",
    "/static/admin/",
]
FILES += [
    "/.env",
    "/.git/config",
    "/.git/HEAD",
    "/manage.py",
    "/settings.py",
    "/uv.lock",
    "/Makefile",
    "/.DS_Store",
    "/backup.sql",
]
FILES += [
    "/.lockstep/environment",
    "/backend/config/settings.py",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%5c..%5cwindows/win.ini",
]


@pytest.mark.parametrize("looked_up", [False, True], ids=["listed at the start", "looked up"])
@vectors("API8", "path", FILES)
def test_no_file_of_ours_is_served(cast: Cast, settings, path: str, looked_up: bool):
    """As static files are served outside development, and in it."""
    settings.WHITENOISE_AUTOREFRESH = looked_up
    assert_problem(cast.staff.get(path), 404)


@vectors("API8", "value", ["a\r\nX-Evil: 1", "a\nSet-Cookie: a=b", "a\x00", "<script>", "a\x85b", "é", '"; x="'])
def test_a_request_id_carries_nothing_into_the_answer(db: None, value: str):
    answer = stranger(**{"x-request-id": value}).get("/healthz/")
    assert answer["X-Request-ID"] != value
    assert "X-Evil" not in answer
    assert not answer.cookies


@vectors(
    "API8",
    "target",
    ["https://evil.example/", "//evil.example/", "/\\evil.example/", "https:evil.example", "javascript:alert(1)"],
)
def test_the_admin_redirects_to_nowhere_else(cast: Cast, target: str):
    fields = {"username": "staff", "password": "staff-password", "next": target}
    answer = stranger().post(f"/admin/login/?{urlencode({'next': target})}", fields)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/")
    assert "evil" not in answer["Location"]
    cookie = answer.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


@vectors("API8", "path", ["login/", "posts/post/add/", "posts/post/{post}/delete/", "logout/", "password_change/"])
def test_no_other_page_writes_in_the_admin(cast: Cast, post: int, path: str):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.staff.user)
    before = everything()
    answer = client.post(f"/admin/{path.format(post=Post.objects.get().pk)}", {**POST, "post": "yes"})
    assert answer.status_code == 403
    assert everything() == before


@vectors(
    "API8", "text", ["<script>alert(1)</script>", "{{7*7}}", '"><img src=x onerror=alert(1)>', "javascript:alert(1)"]
)
def test_what_is_written_as_a_page_is_shown_as_text(cast: Cast, text: str):
    made = cast.owner.post(f"{FAKE}create/", {"title": text, "body": text})
    assert (made["Content-Type"], made.json()["title"]) == ("application/json", text)
    client = stranger()
    client.force_login(cast.staff.user)
    page = client.get("/admin/posts/post/").content.decode()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "49" not in re.findall(r">([^<>]*)</a></(?:th|td)>", page)


# === API9: Improper inventory management ==================================================================

SHADOWS = [
    "/api/",
    "/api/v0/users/me/",
    "/api/v2/users/me/",
    "/api/users/me/",
    "/v1/users/me/",
    "/api/v1/",
    "/api/beta/users/me/",
]
SHADOWS += ["/api/v1/users/", "/api/v1/user/", "/api/v1/users/all/", "/api/v1/users/me/tokens/", "/api/v1/sessions/"]
SHADOWS += [
    "/api/v1/tokens/",
    "/api/v1/admin/",
    "/api/v1/internal/",
    "/api/v1/debug/",
    "/api/v1/test/",
    "/api/v1/export/",
]
SHADOWS += [
    "/fakeapi/",
    "/fakeapi/v1/",
    "/fakeapi/v2/posts/",
    "/fakeapi/v1/users/",
    "/oauth/applications/",
    "/oauth/authorize/",
]
SHADOWS += [
    "/oauth/authorized_tokens/",
    "/oauth/device-authorization/",
    "/oauth/userinfo/",
    "/oauth/.well-known/jwks.json",
    "/o/token/",
]
SHADOWS += [
    "/.well-known/openid-configuration",
    "/api-auth/login/",
    "/accounts/login/",
    "/accounts/profile/",
    "/password_reset/",
]
SHADOWS += [
    "/register/",
    "/graphql",
    "/actuator/env",
    "/server-status",
    "/phpinfo.php",
    "/__debug__/",
    "/silk/",
]
SHADOWS += [
    "/api/v1/history/",
    "/api/v1/history/posts.post/",
    "/api/v1/webhooks/all/",
    "/auth/token/",
    "/api/token/refresh/",
]


@vectors("API9", "path", SHADOWS)
def test_there_is_no_other_sign_in_endpoint(cast: Cast, path: str):
    for client in (stranger(), cast.staff.client):
        assert_problem(client.get(path), 404)


@vectors("API9", "method", matrix.METHODS)
def test_every_route_declares_its_users(method: str):
    routes, declared = matrix.there_are(), matrix.declared()
    assert {one for one in routes if one.startswith(method)} == {one for one in declared if one.startswith(method)}


PUBLIC = {"GET healthz/?$", "GET readyz/?$", "GET problems/?$", "GET problems/(?P<name>[a-z-]+)/?$"}
PUBLIC |= {"GET api/schema/?$", "GET api/schema/swagger-ui/?$", "GET api/schema/redoc/?$"}
PUBLIC |= {"POST api/register/?$", "POST api/v1/users/register/?$"}
PUBLIC |= {"GET $", "GET favicon.ico"}  # the start page, which shows a stranger no details
PUBLIC |= {"GET sign-in/?$", "POST sign-in/?$"}


def test_only_these_operations_need_no_credentials():
    found = {f"{row.method} {matrix.route_of(row)}" for row in matrix.TABLE if row.access is matrix.PUBLIC}
    assert found == PUBLIC


# === API10: Unsafe consumption of APIs ====================================================================
#
# What providers and receivers do to us is the matter of tests/contract, backend/providers/tests, lockstep/mirror/tests
# and lockstep/webhooks/tests; docs/security.md names them. Here is what a hostile one would add.


def provider(answer: Callable[[httpx.Request], httpx.Response], use: Callable[[JsonPlaceholder], Any]) -> Any:
    async def run() -> Any:
        async with JsonPlaceholder("https://provider.example", transport=httpx.MockTransport(answer)) as client:
            return await use(client)

    return asyncio.run(run())


@vectors(
    "API10", "status, target", product((301, 302, 303, 307, 308), ("http://169.254.169.254/", "file:///etc/passwd"))
)
def test_redirects_of_a_provider_are_not_followed(status: int, target: str):
    requests: list[httpx.Request] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, headers={"Location": target})

    with pytest.raises(Refused):
        provider(redirect, lambda client: client.create("posts", POST))
    assert [request.url.host for request in requests] == ["provider.example"]


HOSTILE_IDS = [
    None,
    -1,
    True,
    1.5,
    "",
    "1; DROP TABLE posts",
    "../../users/1",
    "9" * 41,
    {},
    [1],
    "\uff11",
    "1\n",
    "0x1",
]


@vectors("API10", "number", HOSTILE_IDS)
def test_an_invalid_id_is_a_malformed_response(number: Any):
    with pytest.raises(MalformedResponse):
        provider(lambda request: httpx.Response(201, json={"id": number}), lambda client: client.create("posts", POST))


HOSTILE_BODIES: dict[str, tuple[bytes, Mapping[str, str]]] = {
    "nothing": (b"", {}),
    "null": (b"null", {}),
    "a list": (b"[]", {}),
    "a text": (b'"id"', {}),
    "NaN": (b'{"id": NaN}', {}),
    "a page": (b"<html>Sign in</html>", {"Content-Type": "text/html"}),
    "no UTF-8": (b'{"id": "\xff"}', {}),
    "a surrogate": (b'{"id": "\\ud800"}', {}),
    "too deep": (b"[" * 100_000, {}),
    "too large": (b'{"id": "' + b"1" * (9 * 1024 * 1024) + b'"}', {}),
    "a bomb": (gzip.compress(b" " * (64 * 1024 * 1024), 9), {"Content-Encoding": "gzip"}),
    "no gzip": (b'{"id": 1}', {"Content-Encoding": "gzip"}),
    "cut": (b'{"id": 1', {}),
    "two objects": (b'{"id": 1}{"id": 2}', {}),
}


@vectors("API10", "what", HOSTILE_BODIES)
def test_a_body_that_is_no_object_is_a_malformed_response(what: str):
    content, headers = HOSTILE_BODIES[what]
    answer = lambda request: httpx.Response(200, stream=httpx.ByteStream(content), headers=headers)  # noqa: E731
    with pytest.raises(MalformedResponse):
        provider(answer, lambda client: client.get("posts", "1"))


@vectors(
    "API10", "part", ["../users/1", "1?admin=true", "1#", "1/../../2", "%2e%2e/users", "1\r\nX: y", "//evil.example/1"]
)
def test_an_id_stays_one_part_of_the_address(part: str):
    urls: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        urls.append(request.url)
        return httpx.Response(404)

    provider(answer, lambda client: client.get("posts", part))
    assert [url.host for url in urls] == ["provider.example"]
    assert urls[0].raw_path == f"/posts/{quote(part, safe='')}".encode()


# --- The count, and the page that tells of it -------------------------------------------------------------


def test_there_are_at_least_300_vectors_and_some_of_every_risk():
    assert sorted(COUNTED, key=RISKS.index) == RISKS
    assert sum(COUNTED.values()) >= MIN_VECTORS


def test_every_test_that_the_page_names_exists():
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) >= len(RISKS)
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in text_of(ROOT / path)]
    assert missing == []


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_the_page_has_a_row_for_every_risk():
    rows = re.findall(r"^\| (API\d+)\b", (ROOT / "docs/security.md").read_text(), re.MULTILINE)
    assert list(dict.fromkeys(rows)) == RISKS
