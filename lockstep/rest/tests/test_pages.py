"""Errors and problem types as pages: for clients that prefer HTML, and for no others."""

import pytest
from django.test import Client, RequestFactory

from lockstep.rest.pages import error_response, prefers_html
from lockstep.rest.problems import PROBLEMS

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("text/html;q=0.5, application/json;q=0.4", True),
        ("text/html;q=0.5, application/json", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("", False),
        ("text/html;q=0", False),
        (f"text/html, {'a/b, ' * 300}", False),
        ("text/html;a*=nope''b", False),
        ("\xff, text/html;q=high", True),
    ],
)
def test_a_page_is_for_clients_that_prefer_html(accept: str, is_page: bool):
    request = RequestFactory().get("/", headers={"accept": accept})
    assert prefers_html(request) == is_page
    response = error_response(request, 404, "There is nothing at this address.")
    assert response.status_code == 404
    assert response["Vary"] == "Accept"
    assert response["Content-Type"].startswith("text/html" if is_page else "application/problem+json")


def test_an_unknown_address_is_a_page_for_a_browser():
    page = Client().get("/nowhere/", headers={"accept": BROWSER})
    text = page.content.decode()
    assert page.status_code == 404
    assert "There is nothing at this address." in text
    assert page["X-Request-ID"] in text
    assert "unsafe" not in page["Content-Security-Policy"]
    assert page["X-Content-Type-Options"] == "nosniff"


def test_an_unexpected_error_is_a_page_without_its_cause(monkeypatch: pytest.MonkeyPatch, settings):
    def fail(*_: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("lockstep.rest.problem_views.all_problems", fail)
    for settings.DEBUG in (False, True):
        page = Client(raise_request_exception=False).get("/problems/", headers={"accept": BROWSER})
        text = page.content.decode()
        assert page.status_code == 500
        assert "Internal server error" in text and page["X-Request-ID"] in text
        assert "secret" not in text and "Traceback" not in text


def test_what_a_client_sends_is_escaped():
    text = Client().get("/<script>x</script>/", headers={"accept": BROWSER, "x-request-id": "a"}).content.decode()
    assert "<script>x" not in text


def test_problem_types_are_pages_and_json():
    client = Client()
    page = client.get("/problems/", headers={"accept": BROWSER})
    assert all(problem.title in page.content.decode() for problem in PROBLEMS.values())
    assert "<code>If-Match</code>" in page.content.decode()
    one = client.get("/problems/out-of-date/", headers={"accept": BROWSER})
    assert (one.status_code, one["Vary"]) == (200, "Accept")
    assert "/problems/out-of-date" in one.content.decode()
    assert client.get("/problems/out-of-date/").json()["status"] == 412
    assert client.get("/problems/no-such/", headers={"accept": BROWSER}).status_code == 404
