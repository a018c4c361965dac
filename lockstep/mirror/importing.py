"""Import: what the provider has and we do not know comes in. Nothing here is changed or erased by it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
from psycopg import AsyncConnection

from lockstep.changes.attribution import SET_LOCAL
from lockstep.mirror.collection_sql import statements
from lockstep.mirror.collections import Client, Collection, Mirror
from lockstep.mirror.remote import Pool
from lockstep.providers.errors import ProviderError

EXAMPLES = 5  # refused objects that a report shows


@dataclass
class Report:
    """What one collection brought: `seen` objects, of which `taken` were new and usable."""

    collection: str
    seen: int = 0
    taken: int = 0
    refused: int = 0
    examples: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def known(self) -> int:
        """Objects that we had already, or that came twice."""
        return self.seen - self.taken - self.refused


Progress = Callable[[Report], None]


async def import_all(mirror: Mirror, client: Client, pool: Pool, progress: Progress) -> list[Report]:
    """Imports every collection, parents first. A provider that breaks off ends it; what came in before stays.

    Each batch is a transaction of its own, so an import that was cut goes on where it was when it is run again.
    """
    reports = []
    for collection in mirror.collections:
        report = Report(collection.name)
        reports.append(report)
        try:
            await _import(mirror, collection, client, pool, report, progress)
        except ProviderError as error:
            report.error = str(error)
            break
    return reports


async def _import(
    mirror: Mirror, collection: Collection, client: Client, pool: Pool, report: Report, progress: Progress
) -> None:
    """Reads the next batch while PostgreSQL takes in the last one."""
    sql = statements(mirror, collection)
    async with pool.connection() as connection, aclosing(client.stream(collection.name)) as stream:
        try:
            async for batch, taking in _overlapped(stream, lambda b: _take_in(connection, sql, mirror, b)):
                usable, orphans, taken = await taking
                report.seen += len(batch)
                report.taken += taken
                _note_refused(report, collection, batch, usable, orphans)
                progress(report)
        finally:
            await connection.execute(sql["advance_numbers"])


async def _overlapped(
    stream: AsyncIterator[list[Any]], start: Callable[[list[Any]], Any]
) -> AsyncIterator[tuple[list[Any], asyncio.Task[tuple[int, int, int]]]]:
    """Pairs of a batch and the task that takes it in, each handed out once the next batch is there."""
    previous: tuple[list[Any], asyncio.Task[tuple[int, int, int]]] | None = None
    try:
        async for batch in stream:
            if previous:
                yield previous
            previous = batch, asyncio.create_task(start(batch))
    finally:
        if previous:
            await asyncio.wait([previous[1]])
    if previous:
        yield previous


async def _take_in(
    connection: AsyncConnection[Any], sql: dict[str, str], mirror: Mirror, batch: list[Any]
) -> tuple[int, int, int]:
    """One batch in one transaction; once more when somebody took a number at the same moment."""
    text = orjson.dumps(batch)
    if b"\\u0000" in text:  # PostgreSQL's text cannot hold it
        text = orjson.dumps([element for element in batch if b"\\u0000" not in orjson.dumps(element)])
    for last_try in (False, True):
        try:
            async with connection.transaction():
                await connection.execute(SET_LOCAL, ["", mirror.provider, "import"])
                cursor = await connection.execute(sql["take_in"], {"batch": text.decode()})
                usable, orphans, taken = await cursor.fetchone() or (0, 0, 0)
                return usable, orphans, taken
        except psycopg.errors.UniqueViolation:
            if last_try:
                raise
    raise AssertionError("unreachable")


def _note_refused(report: Report, collection: Collection, batch: list[Any], usable: int, orphans: int) -> None:
    """Counts what could not be used and keeps a few examples with the reason."""
    if usable == len(batch) and not orphans:
        return
    reasons = [reason for element in batch if (reason := unusable(collection, element))]
    report.refused += len(reasons) + orphans
    if orphans and collection.parent:
        reasons.append(f"{orphans:,} whose {collection.parent.remote} names nothing that is here")
    report.examples = (report.examples + reasons)[:EXAMPLES]


def unusable(collection: Collection, element: object) -> str:
    """Why an element of the provider's cannot be imported; "" when it can."""
    if not isinstance(element, dict):
        return f"{_short(element)} is not an object"
    numbers = ["id", *(f.remote for f in collection.fields if f.type == "integer")]
    numbers += [collection.parent.remote] if collection.parent else []
    for name in numbers:
        if not _is_number(element.get(name)):
            return f"id {_short(element.get('id'))}: {name} is {_short(element.get(name))}, not a whole number"
    for text in (f.remote for f in collection.fields if f.type == "text"):
        value = element.get(text)
        if not isinstance(value, str) or "\0" in value:
            return f"id {_short(element.get('id'))}: {text} is {_short(value)}, not text"
    return ""


def _is_number(value: object) -> bool:
    text = str(value)
    return (
        isinstance(value, (int, str)) and not isinstance(value, bool)
        and text.isascii() and text.isdigit() and len(text) <= 18
    )  # fmt: skip


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
