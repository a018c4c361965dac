"""A worker's own probes and metrics over HTTP: /healthz, /readyz, /metrics, at WORKER_METRICS_PORT.

They are served by threads, through a call in the event loop: a blocked loop could not answer.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from lockstep.delivery.worker import Worker

TURN_SECONDS = 3.0  # within which the event loop must run a call
STILL = "the event loop does not turn"


class Probes:
    """The WSGI application. It has no authentication: the port must not be reachable from outside."""

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop, turn_seconds: float = TURN_SECONDS) -> None:
        self._worker = worker
        self._loop = loop
        self._turn_seconds = turn_seconds

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Serves GET and HEAD of the three paths, with and without a trailing slash."""
        match environ["PATH_INFO"].rstrip("/"):
            case "/healthz":
                # "ok" while the loop turns and no part of the worker stalls: a database outage does not count.
                status, kind, body = _state(self._in_loop(lambda: self._worker.complaint))
            case "/readyz":
                # "ok" while changes are delivered.
                status, kind, body = _state(self._in_loop(lambda: self._worker.complaint or self._worker.waits_for))
            case "/metrics":
                status, kind, body = self._metrics()
            case _:
                status, kind, body = "404 Not Found", "text/plain", b"/healthz, /readyz, /metrics\n"
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _metrics(self) -> tuple[str, str, bytes]:
        try:
            from lockstep.delivery.metrics import worker_exposition
        except ImportError:
            return "404 Not Found", "text/plain", b"Metrics need prometheus-client: django-lockstep[metrics].\n"
        return "200 OK", *worker_exposition(self._worker.heartbeat.clock_offset)

    def _in_loop(self, function: Callable[[], str]) -> str:
        async def call() -> str:
            return function()

        future = asyncio.run_coroutine_threadsafe(call(), self._loop)
        try:
            return future.result(self._turn_seconds)
        except (TimeoutError, CancelledError):
            future.cancel()
            return STILL


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds that a client may take

    def log_message(self, *words: object) -> None:
        """Logs nothing: probes come every few seconds."""


def serve(probes: Probes, host: str, port: int) -> WSGIServer:
    """Starts the server in threads and returns it. Raises OSError where the address is in use."""
    server = make_server(host, port, probes, _Server, _Handler)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server


def _state(complaint: str) -> tuple[str, str, bytes]:
    status = "503 Service Unavailable" if complaint else "200 OK"
    return status, "application/json", json.dumps({"status": complaint or "ok"}).encode() + b"\n"
