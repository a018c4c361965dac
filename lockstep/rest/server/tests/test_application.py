"""The application handles complete requests, under any server of ASGI."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from django.http import HttpResponse

from lockstep.rest.server.application import Application

SCOPE = {
    "type": "http",
    "method": "GET",
    "raw_path": b"/x/",
    "query_string": b"",
    "http_version": "1.1",
    "scheme": "http",
    "server": ("127.0.0.1", 0),
    "client": ("127.0.0.1", 1),
    "headers": [],
}
WAIT = 30.0


def served(application: Application, **scope: Any) -> tuple[int, dict[str, str], bytes]:
    return asyncio.run(respond(application, **scope))


async def respond(application: Application, **scope: Any) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.wait_for(application(SCOPE | scope, receive, send), WAIT)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:])


def says_its_thread(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [threading.current_thread().name.encode()]


def test_requests_have_threads_of_their_own_and_the_health_of_the_process_has_none():
    application = Application(says_its_thread)
    assert served(application)[2] == b"request"
    assert served(application, raw_path=b"/readyz")[2] == b"readiness"
    assert served(application, raw_path=b"/metrics")[2] == b"metrics"
    assert served(application, raw_path=b"/healthz")[2] == threading.current_thread().name.encode()


def test_an_error_outside_django_is_a_problem_document():
    def fails(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        raise LookupError("a secret")

    status, headers, body = served(Application(fails))
    assert (status, headers["content-type"]) == (500, "application/problem+json")
    assert b"secret" not in body


def test_requests_beyond_those_that_may_wait_are_refused(settings: Any):
    settings.LOCKSTEP = settings.LOCKSTEP | {"SERVER_REQUESTS": 1, "SERVER_MAX_WAITING": 1}
    free, held = threading.Event(), threading.Event()

    def waits(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        held.set()
        free.wait(WAIT)
        return HttpResponse(b"")

    async def many() -> list[Any]:
        application = Application(waits)
        first = asyncio.create_task(respond(application))
        await asyncio.to_thread(held.wait, WAIT)
        second = asyncio.create_task(respond(application))
        await asyncio.sleep(0)
        third = await respond(application)
        free.set()
        return [await first, await second, third]

    outcomes = asyncio.run(many())
    refused = outcomes.pop()
    assert (refused[0], refused[1]["retry-after"]) == (503, "1")
    assert orjson.loads(refused[2])["type"] == "/problems/unavailable"
    assert len(outcomes) == 2


def test_a_request_that_waited_too_long_is_not_carried_out(settings: Any):
    settings.LOCKSTEP = settings.LOCKSTEP | {"SERVER_WAITING_SECONDS": -1.0}
    carried_out: list[object] = []
    status, headers, _ = served(Application(lambda environ, start: carried_out.append(environ) or []))
    assert (status, headers["retry-after"], carried_out) == (503, "1", [])


@pytest.mark.parametrize("path", [b"/readyz", b"/metrics"])
def test_a_probe_is_answered_while_the_database_hangs(settings: Any, path: bytes):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_PROBE_SECONDS": 0.01}
    free = threading.Event()

    def waits(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        free.wait(WAIT)
        return []

    try:
        application = Application(waits)
        for _ in range(12):  # more than may wait behind each other
            assert served(application, raw_path=path)[0] == 503
    finally:
        free.set()


def test_the_lifespan_of_the_server_is_answered():
    async def live() -> list[str]:
        stages, sent = iter(("startup", "shutdown")), []

        async def receive() -> dict[str, str]:
            return {"type": f"lifespan.{next(stages)}"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await Application(says_its_thread)({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
