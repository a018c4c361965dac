"""What the clients of all providers share: one pool of connections, and what an answer or its absence means."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

from lockstep.providers.errors import Garbled, ProviderError, Unreachable, refusal
from lockstep.providers.json_text import parse
from lockstep.version import VERSION

LARGEST_ANSWER = 8 * 1024 * 1024
# Node closes a connection that has been idle for 5 s. We close it first: no request meets a closed door.
IDLE_SECONDS = 2.0
USER_AGENT = f"lockstep/{VERSION}"
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT}

_LONGEST_EXCERPT = 200
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_ANSWER_LOST = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException)
# What httpx raises for bodies, headers and redirects that make no sense; UnicodeError comes of host names and headers.
_UNREADABLE = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError)


@dataclass
class Operation:
    """How far an operation has come; it decides what an error means."""

    write: bool
    sent: bool = False
    answering: bool = False

    @property
    def maybe_applied(self) -> bool:
        """Whether a write may have reached the provider by now."""
        return self.write and (self.sent or self.answering)

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        """Takes what httpx tells of a request's way."""
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
    seconds for a whole operation, waiting for one of the `concurrency` places included.
    """

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
        with provider_errors(operation, self._deadline):
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
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The answer as soon as its headers are here, its body still to be read."""
        request = self._http.build_request(
            method,
            path,
            params=params or None,
            content=None if body is None else orjson.dumps(body),
            headers={**(headers or {}), **({"Content-Type": "application/json"} if body is not None else {})},
            extensions={"trace": operation.trace},
        )
        operation.sent = True  # until the trace knows better: a transport of a test has none
        answer = await self._http.send(request, stream=True)
        operation.answering = True
        try:
            yield answer
        finally:
            await answer.aclose()


@contextmanager
def provider_errors(operation: Operation, deadline: float) -> Iterator[None]:
    """Turns what the network can raise into ProviderErrors that know whether a write may have arrived."""
    try:
        yield
    except TimeoutError:
        detail = f"no answer within {deadline:g} s"
        raise Unreachable(detail, maybe_applied=operation.maybe_applied) from None
    except _NOT_SENT as error:
        raise Unreachable(str(error), maybe_applied=operation.write and operation.answering) from error
    except _ANSWER_LOST as error:
        kind = Garbled if operation.answering else Unreachable
        raise kind(str(error) or repr(error), maybe_applied=operation.maybe_applied) from error
    except _UNREADABLE as error:
        raise Garbled(str(error) or repr(error), maybe_applied=operation.maybe_applied) from error
    except Garbled as error:
        error.maybe_applied = operation.maybe_applied
        raise


async def expect_success(answer: httpx.Response, operation: Operation) -> None:
    """Raises the error that stands for its status, unless that is a 2xx."""
    if not answer.is_success:
        raise await _refusal_of(answer, operation)


async def _refusal_of(answer: httpx.Response, operation: Operation) -> ProviderError:
    try:
        excerpt = (await read_body(answer))[:_LONGEST_EXCERPT].decode(errors="replace")
    except (Garbled, *_ANSWER_LOST, *_UNREADABLE):
        excerpt = "its text is unreadable"  # the status alone says what happened
    retry_after, date = (answer.headers.get(name) for name in ("Retry-After", "Date"))
    return refusal(answer.status_code, excerpt, retry_after=retry_after, date=date, write=operation.write)


async def read_object(answer: httpx.Response) -> dict[str, Any]:
    """The object that its body is. Raises Garbled, and what the network raises."""
    document = parse(await read_body(answer))
    if not isinstance(document, dict):
        raise Garbled(f"an object was expected, not {type(document).__name__}")
    return document


async def read_body(answer: httpx.Response) -> bytes:
    """Its whole body. Raises Garbled beyond LARGEST_ANSWER, and what the network raises."""
    body = bytearray()
    async for chunk in decoded(answer):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise Garbled(f"an answer of more than {LARGEST_ANSWER} bytes")
    return bytes(body)


def decoded(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Its body, decompressed, as it comes. Raises Garbled, and what the network raises."""
    expect_one_encoding(answer)
    return answer.aiter_bytes()


def expect_one_encoding(answer: httpx.Response) -> None:
    """Raises Garbled for a body that is compressed more than once: each time it may grow a thousandfold at a stroke."""
    if "," in answer.headers.get("Content-Encoding", ""):
        raise Garbled("an answer that is compressed more than once")
