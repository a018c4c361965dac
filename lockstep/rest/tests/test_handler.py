"""No error leaves the WSGI application, whatever the headers are."""

import logging
from typing import Any

import orjson
import pytest
from django.http import HttpRequest, HttpResponse

from lockstep.rest import middleware
from lockstep.rest.handler import Handler
from tests.security.strangers import Sent, Server

pytestmark = pytest.mark.django_db


def problem(sent: Sent, status: int, server: Server | None = None) -> dict[str, Any]:
    answer = (server or Server()).send(sent)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    assert answer.headers["x-request-id"]
    return orjson.loads(answer.body)


@pytest.mark.parametrize(
    "content_type",
    [
        *(
            f"text/plain; charset={name}"
            for name in ("hex", "idna", "zlib", "rot13", "undefined", "utf-16", "nonsense", "")
        ),
        *(
            "x/y; title*=NOPE''a",
            "x/y; title*=hex''a",
            "x/y; charset*=NOPE''a",
            ";",
            "=",
            "x/y; =",
            "x/y; a*",
            "\xff",
            "x" * 70_000,
        ),
    ],
)
@pytest.mark.parametrize(
    "target", ["/healthz?%20", "/fakeapi/v1/posts/?a=%20", "/nothing?%20", "/admin/login/?%20", "/static/x?%20"]
)
def test_no_content_type_is_a_500(content_type: str, target: str):
    assert Server().send(Sent("GET", target, {"Content-Type": content_type})).status in (200, 401, 404)
    assert Server().send(Sent("POST", target, {"Content-Type": content_type}, b"{}")).status in (
        401,
        403,
        404,
        405,
        415,
    )


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "iso-8859-1", "hex"])
def test_a_body_is_utf_8_with_any_charset(charset: str):
    body = orjson.dumps({"username": "ä", "password": "wrong"})
    problem(Sent("POST", "/auth/", {"Content-Type": f"application/json; charset={charset}"}, body), 401)


@pytest.mark.parametrize("length", ["abc", "-1", "+1", "1_0", " 1", "1.0", "\xb2", "9" * 5_000])
def test_a_content_length_that_is_no_number_is_400(length: str):
    problem(Sent("POST", "/auth/", {"Content-Type": "application/json", "Content-Length": length}), 400)


@pytest.mark.parametrize(
    "accept", ["x/y; title*=NOPE''a", "application/json; q*=NOPE''a, */*;q=x", ";;,,", "a" * 70_000]
)
@pytest.mark.parametrize("target", ["/api/v1/changes/", "/api/schema/", "/api/v1/products/", "/healthz"])
def test_no_accept_header_is_a_500(accept: str, target: str):
    assert Server().send(Sent("GET", target, {"Accept": accept})).status in (200, 401, 406, 431)


@pytest.mark.parametrize("name", ["Cookie", "If-None-Match", "Host", "X-Request-ID"])
def test_a_header_of_more_than_16_kilobytes_is_431(name: str):
    problem(Sent("GET", "/healthz", {name: "a;" * 10_000}), 431)


def test_an_error_outside_of_every_middleware_is_a_problem_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(self: Handler, request: HttpRequest) -> HttpResponse:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(Handler, "get_response", broken)
    answer = Server().send(Sent("GET", "/healthz", {"X-Request-ID": "mine-1"}))
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.headers["x-request-id"] == "mine-1"
    assert b"secret" not in answer.body
    assert len([one for one in caplog.records if one.levelno >= logging.ERROR]) == 1


def test_an_error_of_a_middleware_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    def broken(*arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(middleware, "perf_counter", broken)
    answer = Server().send(Sent("GET", "/healthz", {}))
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
