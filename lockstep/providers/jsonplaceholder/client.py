"""The client of a JSONPlaceholder or a json-server.

What they do with missing ids, all seen: a PUT answers 404 (json-server, npm jsonplaceholder) or 500 (the
public one); a DELETE answers 404 or 200. The public one and npm jsonplaceholder forget every write.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

from lockstep.providers.errors import Failing, Garbled, NotFound
from lockstep.providers.http import HttpClient, Operation, expect_success, provider_errors, read_body, read_object
from lockstep.providers.json_stream import batches

_LONGEST_FILTER = 500  # characters of one value: a whole query must stay far below the 16 KiB of headers
_LONGEST_ID = 40


def remote_id(value: object) -> str:
    """An object's id as providers give it, 7 or "7", as the text by which we name it. Raises Garbled."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = str(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_ID:
        return value
    raise Garbled(f"not an id: {value!r:.50}")


class JsonPlaceholder(HttpClient):
    """The collections of one provider. For `stream` the deadline is the longest silence."""

    @asynccontextmanager
    async def stream(self, collection: str) -> AsyncIterator[AsyncIterator[list[Any]]]:
        """Every element of the collection as it comes, in batches. Raises in the middle if the body is cut.

        A block, so that its connection is given back wherever the loop in it ends.
        """
        operation = Operation(write=False)
        async with AsyncExitStack() as stack:
            with provider_errors(operation, self._deadline):
                async with asyncio.timeout(self._deadline):
                    await stack.enter_async_context(self._places)
                    answer = await stack.enter_async_context(self._answer(operation, "GET", _path(collection)))
                    await expect_success(answer, operation)
            yield batches(self._paced(answer.aiter_bytes(), operation))

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
            await expect_success(answer, operation)
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
            await expect_success(answer, operation)
            return remote_id((await read_object(answer)).get("id"))

    async def update(self, collection: str, remote_id: str, body: Mapping[str, Any]) -> None:
        """Replaces the object. Raises NotFound when the provider has none, however it says so."""
        path = _path(collection, remote_id)
        async with self._operation(write=True) as operation:
            async with self._answer(operation, "PUT", path, body=body) as answer:
                if answer.status_code != 500:
                    await expect_success(answer, operation)
                    await read_body(answer)
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
                await expect_success(answer, operation)
            await read_body(answer)

    async def _get(self, operation: Operation, path: str) -> dict[str, Any] | None:
        async with self._answer(operation, "GET", path) as answer:
            if answer.status_code == 404:
                return None
            await expect_success(answer, operation)
            return await read_object(answer)

    async def _paced(self, chunks: AsyncIterator[bytes], operation: Operation) -> AsyncIterator[bytes]:
        while True:
            with provider_errors(operation, self._deadline):
                async with asyncio.timeout(self._deadline):
                    chunk = await anext(chunks, b"")
            if not chunk:
                return
            yield chunk


def _path(*segments: str) -> str:
    """The path of a collection or an object. An empty or dotted segment would name something else."""
    if any(segment.strip(".") == "" for segment in segments):
        raise ValueError(f"not a path: {segments!r}")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def _can_ask_for(name: str, value: str | int) -> bool:
    return not name.startswith("_") and name != "q" and len(quote(str(value))) <= _LONGEST_FILTER


def _matches(row: object, fields: Mapping[str, str | int]) -> bool:
    return isinstance(row, dict) and all(name in row and str(row[name]) == str(value) for name, value in fields.items())
