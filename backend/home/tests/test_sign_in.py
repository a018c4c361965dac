"""Signing in at the pages that are for every user: webhooks."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import InternalError, ProgrammingError, connection
from django.test import Client
from psycopg.errors import ReadOnlySqlTransaction

from backend.accounts.throttling import PAIR
from lockstep.webhooks.models import Endpoint
from tests.support import Cast

pytestmark = pytest.mark.django_db

PAGE = "/sign-in/"
HOOKS = "/webhooks/"


def sent(client: Client, password: str, **others: str) -> Any:
    return client.post(PAGE, {"username": "owner", "password": password, **others})


def test_a_user_who_is_not_staff_signs_in_and_sees_their_endpoints(cast: Cast):
    client = Client()
    assert client.get(HOOKS)["Location"] == f"{PAGE}?next={HOOKS}"
    page = client.get(f"{PAGE}?next={HOOKS}")
    assert f'name="next" value="{HOOKS}"' in page.content.decode()
    signed_in = sent(client, "owner-password", next=HOOKS)
    assert (signed_in.status_code, signed_in["Location"]) == (302, HOOKS)
    assert "You have no endpoint yet." in client.get(HOOKS).content.decode()
    assert client.get("/admin/").status_code == 302 and client.get("/console/").status_code == 403
    assert client.get("/api/v1/webhooks/").status_code == 401  # the API knows no sessions
    assert client.post(f"{HOOKS}sign-out/")["Location"] == f"{PAGE}?next={HOOKS}"
    assert client.get(HOOKS).status_code == 302


def test_a_form_without_the_token_of_its_session_says_so(cast: Cast):
    stranger = Client(enforce_csrf_checks=True, headers={"accept": "text/html"})
    for path in (PAGE, "/admin/login/"):
        refused = stranger.post(path, {"username": "owner", "password": "owner-password"})
        assert (refused.status_code, "The form is out of date" in refused.content.decode()) == (403, True), path


def test_an_endpoint_is_created_by_the_forms(cast: Cast):
    client = Client()
    client.force_login(cast.owner.user)
    values = {"url": "https://example.com/hook", "events": "posts.post.*", "description": "", "step": "preview"}
    [key] = re.findall(r'name="key" value="([^"]*)"', client.post(f"{HOOKS}new/", values).content.decode())
    shown = client.post(f"{HOOKS}new/", values | {"key": key, "step": ""})
    assert "whsec_" in shown.content.decode()
    assert Endpoint.objects.get().owner == cast.owner.user
    listed = cast.owner.get("/api/v1/webhooks/").json()
    assert "https://example.com/hook" in str(listed)


def test_no_other_site_is_led_to(cast: Cast):
    assert sent(Client(), "owner-password", next="https://evil.example/")["Location"] == "/"


def test_attempts_are_limited_as_at_the_api(cast: Cast):
    client = Client()
    for _ in range(PAIR.number):
        assert "Please enter a correct" in sent(client, "wrong").content.decode()
    assert "Too many attempts" in sent(client, "owner-password").content.decode()
    answer = client.post("/auth/", {"username": "owner", "password": "owner-password"}, content_type="application/json")
    assert answer.status_code == 429


def test_the_form_needs_its_token(cast: Cast):
    assert sent(Client(enforce_csrf_checks=True), "owner-password").status_code == 403


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(method: str):
    assert getattr(Client(), method)(PAGE).status_code == 405


def test_the_page_has_the_strictest_policy_and_its_own_address_without_a_slash(db: None):
    response = Client().get("/sign-in")
    assert response.status_code == 200
    assert response["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert response["Cache-Control"] == "no-store"


def test_webhooks_without_their_slash_lead_to_the_page():
    assert Client().get("/webhooks")["Location"] == HOOKS


def test_errors_are_pages(cast: Cast):
    client = Client()
    client.force_login(cast.owner.user)
    missing = client.get(f"{HOOKS}00000000-0000-0000-0000-000000000000/", headers={"accept": "text/html"})
    assert missing.status_code == 404 and "There is no such endpoint." in missing.content.decode()
    wrong = client.post(f"{HOOKS}new/", {"url": "http://x/", "events": "*", "step": "preview"})
    assert wrong.status_code == 400 and "begins with https://" in wrong.content.decode()


def failing(error: Exception) -> Callable[..., None]:
    def execute(*arguments: object) -> None:
        raise error

    return execute


@pytest.mark.parametrize("path", [PAGE, "/admin/login/", "/development/sign-in/"])
def test_signing_in_to_a_read_only_database_is_unavailable(path: str, cast: Cast, settings: Any):
    settings.DEBUG = True  # the forms of the start page exist
    browser = Client(headers={"accept": "text/html"}, raise_request_exception=False)
    error = InternalError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = ReadOnlySqlTransaction()
    with connection.execute_wrapper(failing(error)):
        refused = browser.post(path, {"username": "owner", "password": "owner-password", "account": "user"})
    assert (refused.status_code, refused["Retry-After"]) == (503, "5")
    assert "The database is read-only right now." in refused.content.decode()
    assert refused["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_bug_of_a_page_is_no_outage(cast: Cast):
    with connection.execute_wrapper(failing(ProgrammingError())), pytest.raises(ProgrammingError):
        sent(Client(), "owner-password")
