"""The client of a JSONPlaceholder or a json-server.

Observed for a missing id: 404 (json-server, npm jsonplaceholder) or 500 (the public one) for a PUT, 404 or 200 for a
DELETE. The public one and npm jsonplaceholder forget every write.

A success whose body is not the object, such as `{"error": "busy"}`, is a MalformedResponse.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import quote

from lockstep.http.client import (
    HttpClient,
    Operation,
    decoded,
    expect_success,
    provider_errors,
    read_body,
    read_object,
)
from lockstep.http.errors import MalformedResponse, NotFound, ServerError
from lockstep.http.figures import measured
from lockstep.http.json_stream import batches
from lockstep.http.json_text import excerpt, integer_of, is_same, parse

_MAX_FILTER = 500  # characters of one value in a query, so that the headers stay far below 16 KiB


def remote_id(value: object) -> str:
    """An object's id in a response, 7 or "7", as text. Raises MalformedResponse.

    An id beyond 2^53 is an error: a provider written in JavaScript does not distinguish it from its neighbours.
    """
    number = integer_of(value)
    if number is None:
        raise MalformedResponse(f"not an id: {excerpt(value)}")
    return str(number)


class JsonPlaceholder(HttpClient):
    """The collections of one provider. For `stream` the deadline is the longest pause between two chunks."""

    provider = "jsonplaceholder"

    @asynccontextmanager
    async def stream(self, collection: str) -> AsyncIterator[AsyncIterator[list[object]]]:
        """The elements of a collection, in batches as they arrive. The iterator raises if the body is cut.

        A context manager, so that the connection is released wherever the loop ends.
        """
        operation = Operation(write=False)
        async with AsyncExitStack() as stack:
            with measured(self.provider), provider_errors(operation, self._deadline):
                async with asyncio.timeout(self._deadline):
                    await stack.enter_async_context(self._places)
                    answer = await stack.enter_async_context(self._answer(operation, "GET", _path(collection)))
                    await expect_success(answer, operation)
            yield batches(self._paced(decoded(answer), operation))

    async def get(self, collection: str, remote_id: str) -> dict[str, object] | None:
        """The object, or None if the provider has none."""
        path = _path(collection, remote_id)
        async with self._operation(write=False) as operation:
            return await self._get(operation, path, remote_id)

    async def find(self, collection: str, fields: Mapping[str, object]) -> list[dict[str, object]]:
        """The objects whose fields equal these, compared as text.

        The response is filtered again: the provider ignores unknown names, and a field that is too long for a query, or
        whose name is a parameter of the provider's, is not sent.
        """
        texts = {name: str(value) for name, value in fields.items() if not name.startswith("_") and name != "q"}
        sent = {name: text for name, text in texts.items() if len(quote(text)) <= _MAX_FILTER}
        async with (
            self._operation(write=False) as operation,
            self._answer(operation, "GET", _path(collection), params=sent) as answer,
        ):
            await expect_success(answer, operation)
            return [
                row
                async for batch in batches(decoded(answer))
                for row in batch
                if isinstance(row, dict) and all(is_same(row.get(name), value) for name, value in fields.items())
            ]

    async def create(self, collection: str, body: Mapping[str, object], *, idempotency_key: str | None = None) -> str:
        """Creates an object. Returns its id at the provider. An `id` in the body is not sent."""
        content = {name: value for name, value in body.items() if name != "id"}
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        async with (
            self._operation(write=True) as operation,
            self._answer(operation, "POST", _path(collection), body=content, headers=headers) as answer,
        ):
            await expect_success(answer, operation)
            document = await read_object(answer)
            return _object_of(document, remote_id(document.get("id")), content)

    async def update(self, collection: str, remote_id: str, body: Mapping[str, object]) -> None:
        """Replaces the object. Raises NotFound if the provider has none, also where it responds with 500."""
        path = _path(collection, remote_id)
        async with self._operation(write=True) as operation:
            async with self._answer(operation, "PUT", path, body=body) as answer:
                if answer.status_code != 500:
                    await expect_success(answer, operation)
                    _object_of(await read_object(answer), remote_id, body)
                    return
            if await self._get(operation, path, remote_id) is None:
                raise NotFound("500 to a PUT, 404 to a GET")
            raise ServerError("500 although the object is there", outcome_unknown=True)

    async def delete(self, collection: str, remote_id: str) -> None:
        """Deletes the object; idempotent."""
        async with (
            self._operation(write=True) as operation,
            self._answer(operation, "DELETE", _path(collection, remote_id)) as answer,
        ):
            if answer.status_code in (404, 410):
                return
            await expect_success(answer, operation)
            body = await read_body(answer)
            if body.strip() and (document := parse(body)) != {}:
                _object_of(document, remote_id)

    async def _get(self, operation: Operation, path: str, remote_id: str) -> dict[str, object] | None:
        async with self._answer(operation, "GET", path) as answer:
            if answer.status_code == 404:
                return None
            await expect_success(answer, operation)
            document = await read_object(answer)
            _object_of(document, remote_id)
            return document

    async def _paced(self, chunks: AsyncIterator[bytes], operation: Operation) -> AsyncIterator[bytes]:
        while True:
            with provider_errors(operation, self._deadline):
                async with asyncio.timeout(self._deadline):
                    chunk = await anext(chunks, b"")
            if not chunk:
                return
            yield chunk


def _object_of(document: object, remote_id: str, names: Iterable[str] = ()) -> str:
    """The id of an object in a response. Raises MalformedResponse for another object, or without these fields."""
    number = integer_of(document.get("id")) if isinstance(document, dict) else None
    if number is None or str(number) != remote_id:
        raise MalformedResponse(f"not the object {remote_id}: {excerpt(document)}")
    if isinstance(document, dict) and (missing := [name for name in names if name not in document]):
        raise MalformedResponse(f"the object {remote_id} without {', '.join(missing)}")
    return remote_id


def _path(*segments: str) -> str:
    """The path of a collection or an object. Raises ValueError for a segment that is empty, `.` or `..`."""
    if any(segment.strip(".") == "" for segment in segments):
        raise ValueError(f"not a path: {segments!r}")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)
