"""What strangers send, as the web server hands it to the application, and what each answer must be.

The application is called with WSGI's environment itself, so that headers, methods and paths arrive that no test client
would send. An answer is never 5xx but a stated 503; an error is problem+json of at most 64 KB; nothing costs more than
100 ms of CPU.

Long runs report how many requests there were and the worst of them: `pytest -m faults -s 2>/dev/null`. They make
STRANGERS_CASES requests, and by the same STRANGERS_SEED the same ones.
"""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import randrange
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, transaction

from lockstep.rest.handler import Handler
from lockstep.rest.middleware import PAGES

MAX_ERROR_BYTES = 64 * 1024
MAX_SECONDS = 0.1  # of CPU, on a machine on which _work takes WORK_SECONDS
WORK_SECONDS = 0.02
TRIES = 5  # of a request that cost much: a garbage collection or another process costs as well
CASES = int(os.environ.get("STRANGERS_CASES", "100000"))  # of each long form
SEED = int(os.environ.get("STRANGERS_SEED", randrange(10**9)))
BY_CGI = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}  # every other name begins with HTTP_


@dataclass(frozen=True)
class Sent:
    """One request: the target as in the request line, and headers as Latin-1 text."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

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


class Metered:
    """An application, and how much CPU its last answer took: of this thread, and of the database's process for it."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application
        self.cpu = 0.0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        database = _of_database()
        began = time.thread_time()
        answer = self.application(environ, start_response)
        try:
            body = b"".join(answer)
            self.cpu = time.thread_time() - began
        finally:
            answer.close()
        self.cpu += _of_database() - database
        return [body]


def _of_database() -> float:
    """Seconds of CPU of the process that answers our connection, where it is on this machine and that can be read."""
    ours = connection.connection
    process = Path("/proc") / str(ours.info.backend_pid if ours and not ours.closed else "none")
    try:
        if (process / "comm").read_text() != "postgres\n":
            return 0.0
        return int((process / "schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0


@dataclass
class Tally:
    """How many requests there were, and the worst of them."""

    requests: int = 0
    cpu: float = 0.0
    costliest: str = ""
    error_bytes: int = 0
    longest: str = ""

    def count(self, what: str, *, cpu: float, error_bytes: int) -> None:
        self.requests += 1
        if cpu > self.cpu:
            self.cpu, self.costliest = cpu, what
        if error_bytes > self.error_bytes:
            self.error_bytes, self.longest = error_bytes, what

    def report(self) -> None:
        """Writes them, for a run of pytest with `-s`."""
        sys.stdout.write(
            f"STRANGERS_SEED={SEED}: {self.requests} requests; at most {self.cpu * 1_000:.0f} ms of CPU"
            f" ({self.costliest}), at most {self.error_bytes} bytes of an error ({self.longest})\n"
        )


class Server:
    """The application as the web server calls it."""

    def __init__(self) -> None:
        self.application = Metered(Handler())
        self.tally = Tally()

    def send(self, sent: Sent) -> Answered:
        """The whole answer. Whatever the application raises comes out of here: nothing may."""
        started: list[Any] = []
        with connection_kept():
            [body] = self.application(
                sent.environ(), lambda status, headers, exc_info=None: started.extend((status, headers))
            )
        status, headers = started[-2:]
        return Answered(int(status[:3]), {name.lower(): value for name, value in headers}, body, self.application.cpu)

    def send_and_undo(self, sent: Sent) -> Answered:
        """The same, of which nothing stays: the next request finds what this one found."""
        with transaction.atomic():
            answer = self.send(sent)
            transaction.set_rollback(True)
        return answer

    def try_out(self, sent: Sent) -> Answered:
        """The response, after the common checks. An expensive request is repeated, and must once be cheap."""
        answer = self.send_and_undo(sent)
        check(sent, answer)
        cpu = least_cpu(
            answer.cpu,
            lambda: self.send_and_undo(sent).cpu,
            request=(sent.method, sent.target[:1_000], sent.headers, sent.body[:1_000]),
        )
        error_bytes = len(answer.body) if answer.status >= 400 else 0
        self.tally.count(f"{sent.method} {sent.target[:200]}", cpu=cpu, error_bytes=error_bytes)
        return answer


PROBLEM = "application/problem+json"


def check(sent: Sent, answer: Answered) -> None:
    """Fails if the response is a 500, or an error beyond its limits."""
    assert answer.status < 500 or (answer.status == 503 and "retry-after" in answer.headers), (sent, answer)
    if answer.status < 400 or sent.target.startswith(PAGES):
        return
    assert len(answer.body) <= MAX_ERROR_BYTES, (sent, len(answer.body))
    # RFC 6749 requires JSON, which has the members of a problem as well.
    kind = ("application/problem+json", "application/json") if sent.target.startswith("/oauth/") else PROBLEM
    assert answer.headers["content-type"].startswith(kind), (sent, answer)
    if sent.method != "HEAD":
        problem = orjson.loads(answer.body)
        assert problem["status"] == answer.status and len(problem["errors"]) <= 20, (sent, answer)


def least_cpu(first: float, again: Callable[[], float], request: object) -> float:
    """The least seconds that a request cost: the first, or those of asking again. Fails when it was always much.

    Each cost is judged once, when it was measured: the same figure may be much a moment later, on a machine that is
    quicker by then.
    """
    costs = [first]
    while is_much(costs[-1]):
        assert len(costs) < TRIES, (request, costs)
        costs.append(again())
    return min(costs)


def is_much(cpu: float) -> bool:
    """Whether a request may not cost so many seconds. The speed of this machine is measured only where it matters."""
    return cpu > MAX_SECONDS and cpu > MAX_SECONDS * slowness()


def slowness() -> float:
    """How much slower than the machine of MAX_SECONDS this one is right now; at least 1."""
    return max(1.0, min(_work() for _ in range(3)) / WORK_SECONDS)


def _work() -> float:
    began = time.thread_time()
    sum(number % 7 for number in range(300_000))
    return time.thread_time() - began
