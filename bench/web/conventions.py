"""The cost of each API convention: one GET of a post, called as by a web server, with one more convention each time.

`python -m bench.web.conventions NUMBER TOKEN ROUNDS` prints microseconds of CPU for a request of each kind, as JSON.
"""

import io
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

django.setup()

import orjson  # noqa: E402 - Django comes first
from django.conf import settings  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework.permissions import AllowAny  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from backend.posts import reads  # noqa: E402
from bench.rows.conventions import STEPS  # noqa: E402
from lockstep.rest.connections import configure_connections  # noqa: E402
from lockstep.rest.fastpath import fetch_tuple  # noqa: E402

CALLS = 500
OURS = [name for name in settings.MIDDLEWARE if name.startswith("lockstep.rest.middleware.")]
Application = Any  # a WSGI callable


def body_of(number: int) -> orjson.Fragment:
    """The JSON of a post, as our own view reads it."""
    query = reads.post(number)
    found = fetch_tuple(query.statement, query.parameters)
    assert found
    return orjson.Fragment(found[1])


def plain(request: HttpRequest, number: int) -> HttpResponse:
    """Django and the row."""
    return HttpResponse(orjson.dumps(body_of(number)), content_type="application/json")


class InFramework(APIView):
    """REST framework around it."""

    authentication_classes: Any = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request, number: int) -> Response:
        """The row."""
        return Response(body_of(number))


class Authenticated(APIView):
    """With a bearer token, looked up in the database."""

    def get(self, request: Request, number: int) -> Response:
        """The row."""
        return Response(body_of(number))


urlpatterns = [
    path("plain/<int:number>/", plain),
    path("framework/<int:number>/", InFramework.as_view()),
    path("authenticated/<int:number>/", Authenticated.as_view()),
    path("", include("backend.config.urls")),
]
settings.ROOT_URLCONF = __name__


def kinds(number: str) -> dict[str, tuple[list[str], str]]:
    """Middleware and address of each step, from nothing to what is served."""
    post = f"/fakeapi/v1/posts/{number}/"
    served: list[tuple[list[str], str]] = [
        ([], f"/plain/{number}/"),
        ([], f"/framework/{number}/"),
        ([], f"/authenticated/{number}/"),
        ([], post),
        (OURS, post),
        (list(settings.MIDDLEWARE), post),
    ]
    return dict(zip(STEPS, served, strict=True))


def environment(address: str, token: str, method: str = "GET", body: bytes = b"", **headers: str) -> dict[str, Any]:
    """A request as WSGI has it."""
    place = {"REQUEST_METHOD": method, "PATH_INFO": address, "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1"}
    server = {"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "127.0.0.1"}
    content = {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"} if body else {}
    streams = {"wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http"}
    return (
        place | server | content | headers | streams | {"HTTP_AUTHORIZATION": f"Bearer {token}", "HTTP_ACCEPT": "*/*"}
    )


def call(application: Application, made: dict[str, Any], expected: str) -> None:
    """One request. Raises ValueError for another answer than the expected."""
    statuses: list[str] = []
    answer = application(made, lambda status, headers, error=None: statuses.append(status))
    b"".join(answer)
    answer.close()
    if not statuses[0].startswith(expected):
        raise ValueError(f"{made['PATH_INFO']} answered {statuses[0]}")


def microseconds(work: Callable[[int], None]) -> float:
    """CPU of this process for each of many calls."""
    for number in range(50):
        work(-number)
    began = time.process_time()
    for number in range(CALLS):
        work(number + 1)
    return (time.process_time() - began) / CALLS * 1e6


def writing(application: Application, token: str, run: str, number: int, *, key: bool) -> None:
    """One POST, with an Idempotency-Key of its own or without."""
    headers = {"HTTP_IDEMPOTENCY_KEY": f"{run}-{number}"} if key else {}
    body = b'{"title": "t", "body": "b"}'
    call(application, environment("/fakeapi/v1/posts/create/", token, "POST", body, **headers), "201")


def main(number: str, token: str, run: str) -> None:
    """Every kind once."""
    configure_connections()
    figures = {}
    for name, (middleware, address) in kinds(number).items():
        settings.MIDDLEWARE = middleware
        application = WSGIHandler()

        def read(_: int, application: Application = application, address: str = address) -> None:
            call(application, environment(address, token), "200")

        figures[name] = microseconds(read)
    figures["POST"] = microseconds(partial(writing, application, token, run, key=False))
    figures["POST with a key"] = microseconds(partial(writing, application, token, run, key=True))
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
