"""Conventions of all requests and responses: rate limit, headers, limits of bodies, problems and log lines."""

import json
import logging

import pytest
from django.db import connection
from django.test import Client
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from backend.posts.models import Post
from lockstep.rest import rate_limit
from lockstep.rest.errors import Conflict
from lockstep.rest.problems import PROBLEMS, all_problems, as_markdown
from tests.support import Cast

pytestmark = pytest.mark.django_db

POSTS = "/fakeapi/v1/posts/"
ME = "/api/v1/users/me/"


@pytest.fixture(autouse=True)
def limiter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was counted before, and the minute does not end in the middle of a test."""
    monkeypatch.setattr("lockstep.rest.views.limiter", rate_limit.FixedWindowLimiter())
    monkeypatch.setattr("lockstep.rest.rate_limit.time.time", lambda: 1_000_000_010.0)


# --- Rate limit ----------------------------------------------------------------------------------------------


def test_every_response_has_the_remaining_quota(cast: Cast, settings):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 5}
    answers = [cast.owner.get(ME) for _ in range(3)]
    assert [answer["RateLimit"] for answer in answers] == [f'"default";r={left};t=10' for left in (4, 3, 2)]
    assert answers[0]["RateLimit-Policy"] == '"default";q=5;w=60'
    assert cast.owner.get(f"{POSTS}999/")["RateLimit"] == '"default";r=1;t=10'


def test_too_many_requests_are_429_with_retry_after(cast: Cast, settings):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 2}
    assert [cast.owner.get(ME).status_code for _ in range(3)] == [200, 200, 429]
    refused = cast.owner.get(ME)
    assert (refused["Retry-After"], refused["RateLimit"]) == ("10", '"default";r=0;t=10')
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert refused.json()["detail"] == "Too many requests. Try again in 10 seconds."
    assert cast.colleague.get(ME).status_code == 200


def test_the_quota_is_renewed_each_minute(cast: Cast, settings, monkeypatch: pytest.MonkeyPatch):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 1}
    assert [cast.owner.get(ME).status_code for _ in range(2)] == [200, 429]
    monkeypatch.setattr("lockstep.rest.rate_limit.time.time", lambda: 1_000_000_020.0)
    assert cast.owner.get(ME).status_code == 200


def test_unauthenticated_requests_are_counted_by_address(settings):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 2}

    def ask(address: str, **headers: str) -> int:
        return Client(REMOTE_ADDR=address, headers=headers).get(ME).status_code

    assert [ask("198.51.100.1", authorization=f"Bearer guess-{n}") for n in range(2)] == [401, 401]
    assert ask("198.51.100.1") == 429
    assert ask("198.51.100.2") == 401
    assert [ask(f"2001:db8::{n}") for n in range(3)] == [401, 401, 429]  # a host may have all of these
    assert ask("2001:db8:0:1::1") == 401


def test_the_rate_limiter_has_a_maximum_of_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rate_limit, "MAX_KEYS", 10)
    limiter = rate_limit.FixedWindowLimiter()
    for number in range(100):
        limiter.count(str(number))
        assert len(limiter._counts) <= 12


# --- Headers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ME, "/nowhere/", "/healthz", "/problems/not-found", "/auth/"])
def test_every_response_has_an_id_and_security_headers(cast: Cast, path: str):
    answer = cast.owner.client.get(path, headers={"x-request-id": "mine-1"})
    assert answer["X-Request-ID"] == "mine-1"
    assert answer["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "no-" in answer["Cache-Control"]


def test_pages_may_load_their_own_resources(client: Client):
    assert client.get("/admin/login/")["Content-Security-Policy"].startswith("default-src 'self';")


def test_other_origins_read_nothing(cast: Cast):
    answer = cast.owner.client.get(ME, headers={"origin": "https://app.example.com"})
    assert "Access-Control-Allow-Origin" not in answer
    preflight = cast.owner.client.options(
        ME, headers={"origin": "https://app.example.com", "access-control-request-method": "GET"}
    )
    assert "Access-Control-Allow-Origin" not in preflight


def test_a_named_origin_may_read_and_use_the_api_conventions(cast: Cast, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    answer = cast.owner.client.get(ME, headers={"origin": "https://app.example.com"})
    assert answer["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "etag" in answer["Access-Control-Expose-Headers"].lower()
    preflight = Client().options(
        ME, headers={"origin": "https://app.example.com", "access-control-request-method": "PATCH"}
    )
    assert preflight.status_code == 200
    assert "if-match" in preflight["Access-Control-Allow-Headers"]
    other = cast.owner.client.get(ME, headers={"origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Origin" not in other


# --- Limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [31, 32, 33])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_limited(cast: Cast, depth: int, opening: str, closing: str):
    body = '{"title": "t", "body": ' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}"
    answer = cast.owner.client.post(f"{POSTS}create/", body, content_type="application/json")
    assert answer.status_code == 400  # shallow enough, it is still no text
    assert ("deep" in answer.json()["detail"]) == (depth > 32)


def test_a_wide_body_is_not_a_deep_one(cast: Cast):
    body = json.dumps({"title": "[{" * 500, "body": "b"})
    assert cast.owner.client.post(f"{POSTS}create/", body, content_type="application/json").status_code == 201


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_that_is_too_large_is_413_before_it_is_read(cast: Cast, content_type: str):
    path = "/oauth/token/" if "form" in content_type else f"{POSTS}create/"
    for headers in ({}, {"idempotency-key": "1"}):
        answer = cast.owner.client.post(path, b"x" * 1_100_000, content_type=content_type, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["type"] == "/problems/too-large"


# --- Problems and logs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_type_of_a_problem_is_an_address_that_explains_it(client: Client, name: str):
    answer = client.get(PROBLEMS[name].type)
    assert answer.status_code == 200
    assert answer.json() == {
        "type": f"/problems/{name}",
        "title": PROBLEMS[name].title,
        "status": PROBLEMS[name].status,
        "remedy": PROBLEMS[name].remedy,
    }


def test_the_committed_page_of_problems_is_current(settings):
    assert (settings.BASE_DIR / "docs" / "problems.md").read_text() == as_markdown(), "run make schema"


def test_all_problems_are_listed(client: Client):
    assert [one["type"] for one in client.get("/problems/").json()] == [one.type for one in all_problems()]
    assert client.get("/problems/nonsense").status_code == 404


def test_the_pages_of_problems_ignore_limits_and_handlers_of_the_project(
    client: Client, settings, monkeypatch: pytest.MonkeyPatch
):
    class Refuse(BaseThrottle):
        def allow_request(self, request, view):
            return False

    monkeypatch.setattr(APIView, "throttle_classes", (Refuse,))
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"EXCEPTION_HANDLER": "rest_framework.views.exception_handler"}
    assert client.get("/problems/").status_code == 200
    assert client.get("/problems/?nonsense=1")["Content-Type"] == "application/problem+json"


def test_each_request_is_one_log_line_without_its_body(cast: Cast, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "lockstep.requests"):
        cast.owner.client.post(
            "/auth/?secret=1", {"username": "owner", "password": "owner-password"}, content_type="application/json"
        )
    [line] = [record for record in caplog.records if record.name == "lockstep.requests"]
    assert (line.method, line.path, line.status) == ("POST", "/auth/", 400)
    assert "secret" not in str(line.__dict__)
    assert "owner-password" not in str(line.__dict__)


def test_requests_are_counted_by_method_and_status(cast: Cast, settings):
    settings.DEBUG = True
    cast.owner.get(f"{POSTS}999/")
    cast.owner.client.generic("NONSENSE", ME)
    metrics = cast.staff.get("/metrics").content.decode()
    assert 'lockstep_http_request_seconds_count{method="GET",status="404"}' in metrics
    assert 'method="other"' in metrics
    assert "NONSENSE" not in metrics


def test_probes_are_not_logged(client: Client, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "lockstep.requests"):
        client.get("/healthz")
    assert not [record for record in caplog.records if record.name == "lockstep.requests"]


def test_an_error_rolls_back_what_its_handler_wrote_where_requests_are_transactions(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
):
    post = Post.objects.create(title="as it was", body="A body")

    def refuse(**_: object) -> None:
        Post.objects.filter(pk=post.pk).update(title="changed")
        raise Conflict

    monkeypatch.setattr("backend.posts.actions.delete_post", refuse)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert cast.owner.delete(f"{POSTS}delete/{post.number}/").status_code == 409
    post.refresh_from_db()
    assert post.title == "as it was"
