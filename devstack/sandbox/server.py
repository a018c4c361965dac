"""The network side of a stand-in: HTTP/1.1 with connections that stay, faults, and the control routes."""

import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from typing import Protocol, TypeAlias

import orjson

from devstack.sandbox import arrivals, faults
from devstack.sandbox.arrivals import Arrival, Arrivals
from devstack.sandbox.faults import Fault, Faults
from devstack.sandbox.messages import HTML, JSON, Answer, Request
from devstack.sandbox.request_log import RequestLog

Connection: TypeAlias = socket.socket | tuple[bytes, socket.socket]  # as in the standard library

CONTROL = {"Stand-In": "1"}  # by which control routes are told from those of a real system
_GARBAGE = b'<html><body>{"id": </body></html>'


class Api(Protocol):
    """The routes of a stand-in, without the network."""

    name: str
    """Of the system that it stands for."""

    headers: Mapping[str, str]
    """Sent with every answer."""

    def answer(self, request: Request) -> Answer:
        """The response to this request, after its effect."""

    def fault(self, request: Request) -> Fault:
        """The fault that the remote system itself has for this request; called once for each."""


class Server(ThreadingHTTPServer):
    """Listens as soon as it is made; `serve_forever` serves, `stop` ends it with every connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], api: Api) -> None:
        self.api = api
        self.faults = Faults()
        self.request_log = RequestLog()
        self.arrivals = Arrivals()
        self.held: deque[Request] = deque()
        self.stopping = threading.Event()
        self._open: set[Connection] = set()
        super().__init__(address, Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def release(self) -> int:
        """Does the writes that were held, in the order in which they came; how many."""
        done = 0
        while self.held:
            self.api.answer(self.held.popleft())
            done += 1
        return done

    def stop(self) -> None:
        """Ends `serve_forever`, which must be running in another thread, and all connections."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            self.shutdown_request(connection)

    def process_request(self, request: Connection, client_address: object) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Connection) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Connection, client_address: object) -> None:
        """Reports no connection that the client ended, or that this server ended by stopping."""
        if not isinstance(sys.exception(), ConnectionError) and not self.stopping.is_set():
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: Server
    arrival: Arrival | None = None

    def log_message(self, format: str, *args: object) -> None:
        """The request_log is the log."""

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._tell(411, {"error": "a body needs a Content-Length"})
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):  # the sender died: nothing has happened
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        if path.startswith("/_"):
            self._control(path, body)
            return
        if arrivals.is_for_page(self.command, path, self.headers.get("Accept", "")):
            self._show_page(query)
            return
        url = f"http://{self.headers.get('Host', '')}{self.path}"
        self.server.request_log.note(self.command, self.path)
        content_type = self.headers.get("Content-Type", "").lower()
        key, message_id = self.headers.get("Idempotency-Key", ""), self.headers.get("webhook-id", "")
        self.arrival = self.server.arrivals.add(self.command, self.path, body)
        try:
            self._answer(Request(self.command, path, query, url, content_type, key, message_id, body), self.arrival)
        finally:
            self.arrival.ended, self.arrival = True, None

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def do_OPTIONS(self) -> None:
        self._send(204, {"Access-Control-Allow-Methods": "GET,HEAD,PUT,PATCH,POST,DELETE"}, JSON, b"")

    def _show_page(self, query: str) -> None:
        latest, in_force = self.server.arrivals.latest(), self.server.faults.shown()
        page = arrivals.page(self.server.api.name, latest, in_force, refreshes=query != "refresh=off")
        self._send(200, {**arrivals.HEADERS, **CONTROL}, HTML, page)

    def _answer(self, request: Request, arrival: Arrival) -> None:
        """Answers, or fails as the drawn fault says.

        1. What is slow before its effect waits here. 2. The effect, unless the fault prevents it; a read
        has none and is always made. 3. What is slow after its effect waits here. 4. The answer, or what
        stands in its place.
        """
        fault = self.server.faults.draw(request.method, request.path) or self.server.api.fault(request)
        arrival.fault = arrivals.effects(fault)
        reads = request.method in ("GET", "HEAD")
        if not fault.after_effect and not self._wait(fault.latency):
            return
        if fault.held and not reads:
            self.server.held.append(request)
            self.close_connection = True
            return
        happens = reads or fault.after_effect or not fault.fails
        answer = self._happen(request, fault, reads=reads) if happens else Answer(500)
        if fault.after_effect and not self._wait(fault.latency):
            return
        if fault.fails:
            self._fail(fault, answer, reads=reads)
        else:
            self._deliver(answer.with_ids_as_strings() if fault.ids_as_strings else answer, fault.pace)

    def _happen(self, request: Request, fault: Fault, *, reads: bool) -> Answer:
        api = self.server.api
        if reads:
            return api.answer(request).without(fault.hides)
        if fault.ignored:
            return api.answer(replace(request, ignored=True))
        if fault.twice:
            api.answer(request)
        return api.answer(request)

    def _wait(self, seconds: float) -> bool:
        """Whether the server still serves after so long; if not, the connection ends without an answer."""
        if seconds and self.server.stopping.wait(seconds):
            self.close_connection = True
            return False
        return True

    def _fail(self, fault: Fault, answer: Answer, *, reads: bool) -> None:
        if fault.status is not None:
            extra = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            self._send(fault.status, extra, JSON, b"" if fault.status in (204, 304) else b"{}")
        elif fault.empty:
            self._send(200, {}, JSON, b"")
        elif fault.garbage:
            self._send(200, {}, HTML, _GARBAGE)
        elif fault.body is not None:
            self._send(200, {}, JSON, fault.body.encode("utf-8", "surrogatepass"))
        else:
            self.close_connection = True
            if reads and not fault.down:
                self._deliver_half(answer)

    def _deliver(self, answer: Answer, pace: int | None) -> None:
        """Sends what fits one page in one go, and more than that piece by piece."""
        pieces = answer.chunks()
        head = [piece for _, piece in zip(range(3), pieces, strict=False)]
        if len(head) < 3 or self.request_version == "HTTP/1.0":
            self._send(answer.status, answer.headers, answer.content_type, b"".join(chain(head, pieces)))
        else:
            self._send_chunked(answer, chain(head, pieces), pace)

    def _deliver_half(self, answer: Answer) -> None:
        body = b"".join(answer.chunks())
        self._head(answer.status, answer.headers, answer.content_type, {"Content-Length": str(len(body))})
        self.wfile.write(body[: len(body) // 2])

    def _send(self, status: int, headers: dict[str, str], content_type: str, body: bytes) -> None:
        self._head(status, headers, content_type, {"Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_chunked(self, answer: Answer, pieces: Iterator[bytes], pace: int | None) -> None:
        self._head(answer.status, answer.headers, answer.content_type, {"Transfer-Encoding": "chunked"})
        if self.command == "HEAD":
            return
        began, sent = time.monotonic(), 0
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
            if pace:
                self.wfile.flush()
                if not self._wait(max(began + sent / pace - time.monotonic(), 0)):
                    return
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: int, headers: dict[str, str], content_type: str, framing: dict[str, str]) -> None:
        self.send_response(status)
        if self.arrival:
            self.arrival.status = status
        for name, value in {**self.server.api.headers, **headers, "Content-Type": content_type, **framing}.items():
            self.send_header(name, value)
        self.end_headers()

    def _control(self, path: str, body: bytes) -> None:
        match self.command, path.rstrip("/"):
            case "GET", "/_faults":
                self._tell(200, self.server.faults.shown())
            case "PUT", "/_faults":
                self._set_faults(body)
            case "DELETE", "/_faults":
                self.server.faults.set([])
                self._tell(200, [])
            case "DELETE", "/_held":
                self._tell(200, {"done": self.server.release()})
            case "GET", data if data.startswith("/_data/"):
                answer = self.server.api.answer(Request("GET", data.removeprefix("/_data")))
                answer.headers = {**answer.headers, **CONTROL}
                self._deliver(answer, None)
            case "GET", "/_requests":
                self._tell(200, self.server.request_log.shown())
            case "DELETE", "/_requests":
                self.server.request_log.reset()
                self.server.arrivals.reset()
                self._tell(200, self.server.request_log.shown())
            case _:
                self._tell(
                    404,
                    {
                        "error": "GET, PUT, DELETE /_faults, DELETE /_held, GET /_data/<path> and "
                        "GET, DELETE /_requests are all there is"
                    },
                )

    def _set_faults(self, body: bytes) -> None:
        try:
            wanted = faults.parse(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            self._tell(400, {"error": f"not JSON: {error}"})
        except faults.BadFault as error:
            self._tell(400, {"error": str(error)})
        else:
            self.server.faults.set(wanted)
            self._tell(200, self.server.faults.shown())

    def _tell(self, status: int, document: object) -> None:
        self._send(status, CONTROL, JSON, orjson.dumps(document))
