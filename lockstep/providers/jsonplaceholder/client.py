"""The client of a JSONPlaceholder or a json-server.

What they do with missing ids, all seen: a PUT answers 404 (json-server, npm jsonplaceholder) or 500 (the
public one); a DELETE answers 404 or 200. The public one and npm jsonplaceholder forget every write.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import orjson

from lockstep.providers.errors import Failing, Garbled, NotFound, ProviderError, Unreachable, refusal
from lockstep.providers.json_stream import batches
from lockstep.version import VERSION

LARGEST_ANSWER = 8 * 1024 * 1024

# Node closes a connection that has been idle for 5 s. We close it first: no request meets a closed door.
_IDLE_SECONDS = 2.0
_LONGEST_FILTER = 500  # characters of one value: a whole query must stay far below the 16 KiB of headers
_LONGEST_EXCERPT = 200
_LONGEST_ID = 40
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_ANSWER_LOST = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException)


def remote_id(value: object) -> str:
    """An object's id as providers give it, 7 or "7", as the text by which we name it. Raises Garbled."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = str(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_ID:
        return value
    raise Garbled(f"not an id: {value!r:.50}")


@dataclass
class _Operation:
    """How far an operation has come; it decides what an error means."""

    write: bool
    sent: bool = False
    answering: bool = False

    @property
    def maybe_applied(self) -> bool:
        return self.write and (self.sent or self.answering)

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self.sent = False
        elif event.endswith("send_request_headers.started"):
            self.sent = True


class JsonPlaceholder:
    """One pool of connections to one provider.

    Of all that can go wrong on the way, every method raises ProviderErrors and nothing else. `deadline` is
    seconds for a whole operation, waiting for one of the `concurrency` places included; for `stream` it is
    the longest silence.
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
            headers={"Accept": "application/json", "User-Agent": f"lockstep/{VERSION}"},
            follow_redirects=False,
            timeout=None,  # noqa: S113  the deadline of the operation rules
            limits=httpx.Limits(
                max_connections=concurrency,
                max_keepalive_connections=concurrency,
                keepalive_expiry=_IDLE_SECONDS,
            ),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def stream(self, collection: str) -> AsyncGenerator[list[Any], None]:
        """Every element of the collection as it comes, in batches. Raises in the middle if the body is cut.

        Close it (`contextlib.aclosing`) when you leave before its end: it holds a connection.
        """
        operation = _Operation(write=False)
        async with AsyncExitStack() as stack:
            with _errors(operation, self._deadline):
                async with asyncio.timeout(self._deadline):
                    await stack.enter_async_context(self._places)
                    answer = await stack.enter_async_context(self._answer(operation, "GET", _path(collection)))
                    await _expect_success(answer, operation)
            async for batch in batches(self._paced(answer.aiter_bytes(), operation)):
                yield batch

    async def get(self, collection: str, remote_id: str) -> dict[str, Any] | None:
        """The object, or None when the provider has none."""
        async with self._operation(write=False) as operation:
            return await self._get(operation, _path(collection, remote_id))

    async def find(self, collection: str, fields: Mapping[str, str | int]) -> list[dict[str, Any]]:
        """The objects whose fields equal these, compared as text.

        The provider filters, and we filter again: it ignores names that it does not know, and what is too
        long for a query or means something else there is not sent at all.
        """
        sent = {name: str(value) for name, value in fields.items() if _can_ask_for(name, value)}
        async with (
            self._operation(write=False) as operation,
            self._answer(operation, "GET", _path(collection), params=sent) as answer,
        ):
            await _expect_success(answer, operation)
            found = batches(answer.aiter_bytes())
            return [row async for batch in found for row in batch if _matches(row, fields)]

    async def create(self, collection: str, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> str:
        """Makes an object; the id that the provider gave it. An `id` in the body is not sent."""
        content = {name: value for name, value in body.items() if name != "id"}
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        async with (
            self._operation(write=True) as operation,
            self._answer(operation, "POST", _path(collection), body=content, headers=headers) as answer,
        ):
            await _expect_success(answer, operation)
            return remote_id((await _object(answer)).get("id"))

    async def update(self, collection: str, remote_id: str, body: Mapping[str, Any]) -> None:
        """Replaces the object. Raises NotFound when the provider has none, however it says so."""
        path = _path(collection, remote_id)
        async with self._operation(write=True) as operation:
            async with self._answer(operation, "PUT", path, body=body) as answer:
                if answer.status_code != 500:
                    await _expect_success(answer, operation)
                    await _body(answer)
                    return
            if await self._get(operation, path) is None:
                raise NotFound("500 to a PUT, 404 to a GET")
            raise Failing("500 although the object is there", maybe_applied=True)

    async def delete(self, collection: str, remote_id: str) -> None:
        """Makes the object be gone; that it was gone before is as good."""
        async with (
            self._operation(write=True) as operation,
            self._answer(operation, "DELETE", _path(collection, remote_id)) as answer,
        ):
            if answer.status_code not in (404, 410):
                await _expect_success(answer, operation)
            await _body(answer)

    async def _get(self, operation: _Operation, path: str) -> dict[str, Any] | None:
        async with self._answer(operation, "GET", path) as answer:
            if answer.status_code == 404:
                return None
            await _expect_success(answer, operation)
            return await _object(answer)

    @asynccontextmanager
    async def _operation(self, *, write: bool) -> AsyncIterator[_Operation]:
        operation = _Operation(write)
        with _errors(operation, self._deadline):
            async with asyncio.timeout(self._deadline), self._places:
                yield operation

    @asynccontextmanager
    async def _answer(
        self,
        operation: _Operation,
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

    async def _paced(self, chunks: AsyncIterator[bytes], operation: _Operation) -> AsyncIterator[bytes]:
        while True:
            with _errors(operation, self._deadline):
                async with asyncio.timeout(self._deadline):
                    chunk = await anext(chunks, b"")
            if not chunk:
                return
            yield chunk


@contextmanager
def _errors(operation: _Operation, deadline: float) -> Iterator[None]:
    """Turns what the network can raise into ProviderErrors that know whether a write may have arrived."""
    try:
        yield
    except TimeoutError:
        detail = f"no answer within {deadline:g} s"
        raise Unreachable(detail, maybe_applied=operation.maybe_applied) from None
    except _NOT_SENT as error:
        raise Unreachable(str(error), maybe_applied=operation.write and operation.answering) from error
    except httpx.DecodingError as error:
        raise Garbled(str(error), maybe_applied=operation.maybe_applied) from error
    except _ANSWER_LOST as error:
        kind = Garbled if operation.answering else Unreachable
        raise kind(str(error) or repr(error), maybe_applied=operation.maybe_applied) from error
    except Garbled as error:
        error.maybe_applied = operation.maybe_applied
        raise


async def _expect_success(answer: httpx.Response, operation: _Operation) -> None:
    if not answer.is_success:
        raise await _refusal_of(answer, operation)


async def _refusal_of(answer: httpx.Response, operation: _Operation) -> ProviderError:
    try:
        excerpt = (await _body(answer))[:_LONGEST_EXCERPT].decode(errors="replace")
    except (Garbled, *_ANSWER_LOST, httpx.DecodingError):
        excerpt = "its text is unreadable"  # the status alone says what happened
    retry_after = answer.headers.get("Retry-After")
    return refusal(answer.status_code, excerpt, retry_after=retry_after, write=operation.write)


async def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = orjson.loads(await _body(answer))
    except orjson.JSONDecodeError as error:
        raise Garbled(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Garbled(f"an object was expected, not {type(document).__name__}")
    return document


async def _body(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise Garbled(f"an answer of more than {LARGEST_ANSWER} bytes")
    return bytes(body)


def _path(*segments: str) -> str:
    """The path of a collection or an object. An empty or dotted segment would name something else."""
    if any(segment.strip(".") == "" for segment in segments):
        raise ValueError(f"not a path: {segments!r}")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def _can_ask_for(name: str, value: str | int) -> bool:
    return not name.startswith("_") and name != "q" and len(quote(str(value))) <= _LONGEST_FILTER


def _matches(row: object, fields: Mapping[str, str | int]) -> bool:
    return isinstance(row, dict) and all(name in row and str(row[name]) == str(value) for name, value in fields.items())
