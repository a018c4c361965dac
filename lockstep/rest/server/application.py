"""The ASGI application that the web server runs: the asynchronous part of a request, and Django in a thread.

    headers → body, within its limits → a slot → Django → response
                                      → the event loop itself, or threads of their own → a probe

A slow client never occupies a thread, except by a live stream; there are at most FEED_STREAMS of these.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.http import HttpResponse, HttpResponseBase, JsonResponse

from lockstep import telemetry
from lockstep.conf import lockstep_settings
from lockstep.rest.errors import problem_response
from lockstep.rest.middleware import PROBES
from lockstep.rest.probes import UNKNOWN
from lockstep.rest.server.bodies import Bodies, Limits, Receive
from lockstep.rest.server.environ import EXCHANGE, Environ, Message, Scope, environ_of
from lockstep.rest.server.proxies import remove_untrusted_scheme
from lockstep.rest.server.refusals import ClientGone, Refusal, response_to
from lockstep.rest.server.slots import Slots
from lockstep.rest.server.sockets import limit_unread_responses
from lockstep.rest.server.stopping import Stopping

__all__ = ["Application"]

Send = Callable[[Message], Awaitable[None]]
WSGIApplication = Callable[[Environ, Any], Iterable[bytes]]
Headers = list[tuple[bytes, bytes]]

HEALTH = frozenset(("/healthz", "/healthz/"))
READINESS = frozenset(("/readyz", "/readyz/"))
MAX_PROBES_WAITING = 8

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Response:
    """Django's response: complete, or a stream that has not started."""

    status: int = 500
    headers: Headers | None = None
    body: bytes = b""
    stream: Any = None

    def start(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> None:  # noqa: ANN401 - WSGI's
        """WSGI's start_response."""
        self.status = int(status[:3])
        self.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


class Exchange:
    """A complete request, on its way to a thread and back."""

    __slots__ = ("__weakref__", "_application", "_loop", "_outcome", "ending", "environ", "gone", "received")

    def __init__(self, application: WSGIApplication, environ: Environ) -> None:
        self._application = application
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[Response] = self._loop.create_future()
        self.received = time.monotonic()
        self.environ = environ
        self.gone = False  # the client of a stream has disconnected, or does not read
        self.ending = False  # the stream should end in order, and its client reconnect
        environ[EXCHANGE] = self

    def run(self) -> None:
        """Handles the request in a thread; `response` returns the outcome."""
        if time.monotonic() - self.received > lockstep_settings.SERVER_WAITING_SECONDS:
            outcome = _response(response_to(self.environ, _too_many_requests()))
        else:
            outcome = self.respond()
        with suppress(RuntimeError):  # the server has ended meanwhile, and its loop with it
            self._loop.call_soon_threadsafe(self._set_response, outcome)

    def respond(self) -> Response:
        """Django's response to the request, in the calling thread."""
        response = Response()
        try:
            parts = self._application(self.environ, response.start)
            if (
                isinstance(parts, HttpResponseBase)
                and _is_event_stream(parts)
                and self.environ["REQUEST_METHOD"] != "HEAD"
            ):
                response.stream = parts
            else:
                response.body = _whole(parts)
        except Exception:
            logger.exception("a request ended in an error outside Django")
            return _response(problem_response(500, "The server failed. Its log says why."))
        return response

    async def response(self) -> Response:
        """Waits for the outcome."""
        return await self._outcome

    def _set_response(self, response: Response) -> None:
        if not self._outcome.done():
            self._outcome.set_result(response)


class Application:
    """Serves a WSGI application of Django's over ASGI."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._bodies = Bodies(
            Limits(
                max_bytes=lockstep_settings.REST_MAX_BODY_BYTES,
                seconds=lockstep_settings.SERVER_BODY_SECONDS,
                bytes_per_second=lockstep_settings.SERVER_BODY_BYTES_PER_SECOND,
                max_bytes_together=lockstep_settings.SERVER_BODIES_BYTES,
            )
        )
        self._slots = Slots("request", lockstep_settings.SERVER_REQUESTS)
        self._readiness, self._metrics = Slots("readiness", 1), Slots("metrics", 1)
        self._stopping = Stopping(lockstep_settings.SERVER_DRAIN_SECONDS)
        self._is_listening = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one HTTP request, or an event of another type."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = environ_of(scope)
        remove_untrusted_scheme(environ)
        if not self._is_listening:  # only since the first request is the listening socket known
            self._is_listening = True
            self._stopping.port = int(environ["SERVER_PORT"] or 0)
            limit_unread_responses(self._stopping.port, lockstep_settings.SERVER_STREAM_STALL_SECONDS)
        try:
            response = await self._respond(environ, receive)
        except ClientGone:
            return
        except Refusal as refusal:
            response = _response(response_to(environ, refusal))
        if response.stream is None:
            await send({"type": "http.response.start", "status": response.status, "headers": response.headers or []})
            await send({"type": "http.response.body", "body": response.body, "more_body": False})
        else:
            self._stopping.add(environ[EXCHANGE])
            await _stream(environ[EXCHANGE], response, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """ASGI's lifespan."""
        await receive()
        self._stopping.listen()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(telemetry.flush)
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, environ: Environ, receive: Receive) -> Response:
        path = environ["PATH_INFO"]
        if path in PROBES:
            return await self._probe(path, Exchange(self._application, environ))
        if "HTTP_TRANSFER_ENCODING" in environ:
            raise Refusal(411, "Send the body with a Content-Length, not in chunks.")
        if (length := int(environ.get("CONTENT_LENGTH") or 0)) <= 0:
            return await self._carry_out(environ)
        async with self._bodies.held(receive, length) as body:
            environ["wsgi.input"] = BytesIO(body)
            return await self._carry_out(environ)

    async def _carry_out(self, environ: Environ) -> Response:
        if self._slots.waiting >= lockstep_settings.SERVER_MAX_WAITING:
            raise _too_many_requests()
        exchange = Exchange(self._application, environ)
        self._slots.submit(exchange.run)
        return await exchange.response()

    async def _probe(self, path: str, exchange: Exchange) -> Response:
        """Serves a probe, independently of slots for requests."""
        if path in HEALTH:
            return exchange.respond()
        if path in READINESS and self._stopping.has_begun:
            return _response(JsonResponse(dict.fromkeys(UNKNOWN, "the server is stopping"), status=503))
        probes = self._readiness if path in READINESS else self._metrics
        if probes.waiting >= MAX_PROBES_WAITING:
            return _late(path)
        probes.submit(exchange.run)
        try:
            async with asyncio.timeout(lockstep_settings.REST_PROBE_SECONDS):
                return await exchange.response()
        except TimeoutError:
            return _late(path)


def _late(path: str) -> Response:
    """The response to a probe when the database does not answer in time."""
    retry = {"Retry-After": "1"}
    if path in READINESS:
        return _response(JsonResponse(UNKNOWN, status=503, headers=retry))
    return _response(problem_response(503, "The database does not answer in time.", retry))


def _too_many_requests() -> Refusal:
    return Refusal(503, "Too many requests are waiting. Try again in a moment.", {"Retry-After": "1"})


def _response(made: HttpResponse) -> Response:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in made.items()]
    return Response(made.status_code, [*headers, (b"content-length", b"%d" % len(made.content))], made.content)


def _is_event_stream(parts: HttpResponseBase) -> bool:
    return parts.streaming and parts.headers.get("Content-Type") == "text/event-stream"


def _whole(parts: Iterable[bytes]) -> bytes:
    try:
        return parts.content if isinstance(parts, HttpResponse) else b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()


async def _stream(exchange: Exchange, response: Response, receive: Receive, send: Send) -> None:
    """Sends a stream, which runs in a thread of its own, until it ends, or its client disconnects or does not read."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    async def deliver(part: bytes) -> None:
        async with asyncio.timeout(lockstep_settings.SERVER_STREAM_STALL_SECONDS):
            await send({"type": "http.response.body", "body": part, "more_body": True})

    def make() -> None:
        try:
            for part in response.stream:
                if exchange.gone:
                    break
                asyncio.run_coroutine_threadsafe(deliver(part), loop).result()
        except TimeoutError:
            exchange.gone = True
            stalled = lockstep_settings.SERVER_STREAM_STALL_SECONDS
            logger.info("a stream ended because its client did not read for %s s", stalled)
        except Exception:
            logger.exception("a stream ended in an error")
        finally:
            response.stream.close()
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(ended.set_result, None)

    await send({"type": "http.response.start", "status": response.status, "headers": response.headers or []})
    watch = asyncio.ensure_future(_until_disconnect(exchange, receive))
    threading.Thread(target=make, name="stream", daemon=True).start()
    await ended
    watch.cancel()
    if not exchange.gone:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_disconnect(exchange: Exchange, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    exchange.gone = True
