"""The base of all providers' clients: a pool of connections, and the mapping of responses to errors."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import ClassVar, Self

import httpx
import orjson

from lockstep import telemetry
from lockstep.http.errors import MalformedResponse, ProviderError, Unreachable, refusal
from lockstep.http.figures import measured
from lockstep.http.json_text import parse
from lockstep.version import VERSION

__all__ = [
    "HEADERS",
    "IDLE_SECONDS",
    "HttpClient",
    "Operation",
    "decoded",
    "expect_one_encoding",
    "expect_success",
    "provider_errors",
    "read_body",
    "read_object",
    "trusted",
]

MAX_RESPONSE_BYTES = 8 * 1024 * 1024
# Node closes a connection that has been idle for 5 s. It is closed first here: no request uses a closed one.
IDLE_SECONDS = 2.0
USER_AGENT = f"lockstep/{VERSION}"
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT}

_MAX_EXCERPT = 200
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_ANSWER_LOST = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException)
# Exceptions of httpx for malformed bodies, headers and redirects; UnicodeError is for host names and headers.
_UNREADABLE = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError)


@dataclass
class Operation:
    """The progress of an operation, on which the meaning of an error depends."""

    write: bool
    sent: bool = False
    answering: bool = False

    @property
    def outcome_unknown(self) -> bool:
        """Whether a write may have reached the provider."""
        return self.write and (self.sent or self.answering)

    async def trace(self, event: str, _info: Mapping[str, object]) -> None:
        """Records the trace events of httpx."""
        if event == "connection.connect_tcp.started":
            self.sent = False
        elif event.endswith("send_request_headers.started"):
            self.sent = True


@cache
def trusted() -> ssl.SSLContext:
    """The root certificates that every client trusts. Loading them takes longer than a request: once a process."""
    return httpx.create_ssl_context()


class HttpClient:
    """One pool of connections to one provider.

    Of all that can go wrong on the way, every method raises ProviderErrors and nothing else. `deadline` is
    seconds for a whole operation, waiting for one of the `concurrency` places included. `provider` is the name under
    which operations are counted; those of a subclass without one are not.
    """

    provider: ClassVar[str] = ""

    def __init__(
        self,
        url: str,
        *,
        concurrency: int = 8,
        deadline: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
            raise ValueError(f"not an http URL: {url!r}")
        self.url = url
        self._deadline = deadline
        self._places = asyncio.Semaphore(concurrency)
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=HEADERS,
            follow_redirects=False,
            timeout=None,  # noqa: S113  the deadline of the operation rules
            limits=httpx.Limits(
                max_connections=concurrency,
                max_keepalive_connections=concurrency,
                keepalive_expiry=IDLE_SECONDS,
            ),
            transport=transport,
            verify=trusted(),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _operation(self, *, write: bool) -> AsyncIterator[Operation]:
        operation = Operation(write)
        with measured(self.provider), provider_errors(operation, self._deadline):
            async with asyncio.timeout(self._deadline), self._places:
                yield operation

    @asynccontextmanager
    async def _answer(
        self,
        operation: Operation,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The response after its headers, with its body unread."""
        request = self._http.build_request(
            method,
            path,
            params=params or None,
            content=None if body is None else orjson.dumps(body),
            headers={
                **(headers or {}),
                **({"Content-Type": "application/json"} if body is not None else {}),
                **telemetry.headers(),
            },
            extensions={"trace": operation.trace},
        )
        operation.sent = True  # for transports without trace events, in tests
        answer = await self._http.send(request, stream=True)
        operation.answering = True
        try:
            yield answer
        finally:
            await answer.aclose()


@contextmanager
def provider_errors(operation: Operation, deadline: float) -> Iterator[None]:
    """Turns exceptions of the network into ProviderErrors with `outcome_unknown`."""
    try:
        yield
    except TimeoutError:
        detail = f"no answer within {deadline:g} s"
        raise Unreachable(detail, outcome_unknown=operation.outcome_unknown) from None
    except _NOT_SENT as error:
        raise Unreachable(str(error), outcome_unknown=operation.write and operation.answering) from error
    except _ANSWER_LOST as error:
        kind = MalformedResponse if operation.answering else Unreachable
        raise kind(str(error) or repr(error), outcome_unknown=operation.outcome_unknown) from error
    except _UNREADABLE as error:
        raise MalformedResponse(str(error) or repr(error), outcome_unknown=operation.outcome_unknown) from error
    except MalformedResponse as error:
        error.outcome_unknown = operation.outcome_unknown
        raise


async def expect_success(answer: httpx.Response, operation: Operation) -> None:
    """Raises the error for the status, unless it is 2xx."""
    if not answer.is_success:
        raise await _refusal_of(answer, operation)


async def _refusal_of(answer: httpx.Response, operation: Operation) -> ProviderError:
    try:
        excerpt = (await read_body(answer))[:_MAX_EXCERPT].decode(errors="replace")
    except (MalformedResponse, *_ANSWER_LOST, *_UNREADABLE):
        excerpt = "its text is unreadable"  # the status alone says what happened
    retry_after, date = (answer.headers.get(name) for name in ("Retry-After", "Date"))
    return refusal(answer.status_code, excerpt, retry_after=retry_after, date=date, write=operation.write)


async def read_object(answer: httpx.Response) -> dict[str, object]:
    """The body as a JSON object. Raises MalformedResponse, and exceptions of the network."""
    document = parse(await read_body(answer))
    if not isinstance(document, dict):
        raise MalformedResponse(f"an object was expected, not {type(document).__name__}")
    return document


async def read_body(answer: httpx.Response) -> bytes:
    """The whole body. Raises MalformedResponse beyond MAX_RESPONSE_BYTES, and exceptions of the network."""
    body = bytearray()
    async for chunk in decoded(answer):
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise MalformedResponse(f"an answer of more than {MAX_RESPONSE_BYTES} bytes")
    return bytes(body)


def decoded(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The decompressed body in chunks. Raises MalformedResponse, and exceptions of the network."""
    expect_one_encoding(answer)
    return answer.aiter_bytes()


def expect_one_encoding(answer: httpx.Response) -> None:
    """Raises MalformedResponse for a body that is compressed more than once: each time it may grow a thousandfold."""
    if "," in answer.headers.get("Content-Encoding", ""):
        raise MalformedResponse("an answer that is compressed more than once")
