"""What strangers send, as the web server hands it to the application, and what each answer must be.

The application is called with WSGI's environment itself, so that headers, methods and paths arrive that no test client
would send. An answer is never 5xx but a stated 503; an error is problem+json of at most 64 KB.
"""

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from lockstep.api.handler import Handler
from lockstep.api.middleware import PAGES

MAX_ERROR_BYTES = 64 * 1024
MOST_SECONDS = 0.1  # of CPU, on a machine on which _work takes WORK_SECONDS
WORK_SECONDS = 0.02
BY_CGI = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}  # every other name begins with HTTP_


@dataclass(frozen=True)
class Sent:
    """One request: the target as it stands in the request line, and headers as text of Latin-1."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    def with_query(self, query: str) -> "Sent":
        """The same, asking for something more."""
        return replace(self, target=self.target + query)

    def environ(self) -> dict[str, Any]:
        """The environment that granian makes of it."""
        path, _, query = self.target.partition("?")
        named = {
            BY_CGI.get(name.lower(), f"HTTP_{name.upper().replace('-', '_')}"): self.headers[name]
            for name in self.headers
        }
        return {
            "SCRIPT_NAME": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": self.method,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(self.body)),
            "HTTP_HOST": "127.0.0.1:8000",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
            **named,
        }


@dataclass(frozen=True)
class Answered:
    """An answer, and the CPU time that it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cpu: float


@contextmanager
def connection_kept() -> Iterator[None]:
    """The end of a request would close the connection, and with it the transaction that the test is in."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


class Server:
    """The application as the web server calls it."""

    def __init__(self) -> None:
        self.application = Handler()

    def send(self, sent: Sent) -> Answered:
        """The whole answer. Whatever the application raises comes out of here: nothing may."""
        told: list[Any] = []
        environ = sent.environ()
        with connection_kept():
            began = time.thread_time()
            answer = self.application(environ, lambda status, headers, exc_info=None: told.extend((status, headers)))
            body = b"".join(answer)
            cpu = time.thread_time() - began
            answer.close()
        status, headers = told[-2:]
        return Answered(int(status[:3]), {name.lower(): value for name, value in headers}, body, cpu)


PROBLEM = "application/problem+json"


def check(sent: Sent, answer: Answered) -> None:
    """Fails when a stranger was answered with a mistake of ours, or with more than an error may be."""
    assert answer.status < 500 or (answer.status == 503 and "retry-after" in answer.headers), (sent, answer)
    if answer.status < 400 or sent.target.startswith(PAGES):
        return
    assert len(answer.body) <= MAX_ERROR_BYTES, (sent, len(answer.body))
    # RFC 6749 wants JSON, which has the members of a problem as well.
    kind = ("application/problem+json", "application/json") if sent.target.startswith("/oauth/") else PROBLEM
    assert answer.headers["content-type"].startswith(kind), (sent, answer)
    if sent.method != "HEAD":
        problem = orjson.loads(answer.body)
        assert problem["status"] == answer.status and len(problem["errors"]) <= 20, (sent, answer)


def costs_much(answer: Answered) -> bool:
    """Whether a request cost more CPU than any may. How slow this machine is, is asked only where it matters."""
    return answer.cpu > MOST_SECONDS and answer.cpu > MOST_SECONDS * slowness()


def slowness() -> float:
    """How much slower than the machine of MOST_SECONDS this one is right now; at least 1."""
    return max(1.0, min(_work() for _ in range(3)) / WORK_SECONDS)


def _work() -> float:
    began = time.thread_time()
    sum(number % 7 for number in range(300_000))
    return time.thread_time() - began
