"""Import: what the provider has and we do not know comes in. Nothing here is changed or erased by it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from uuid import uuid4

import orjson
import psycopg

from lockstep.changes.attribution import set_local
from lockstep.http.errors import ProviderError
from lockstep.http.json_text import MAX_INTEGER, excerpt, integer_of, is_text
from lockstep.mirror.collection_sql import statements
from lockstep.mirror.collections import Body, Client, Collection, Mirror
from lockstep.mirror.remote import Pool
from lockstep.sql import Statements

__all__ = ["Report", "import_all"]

EXAMPLES = 5  # refused objects that a report shows
BATCH = 5_000  # objects taken in by one transaction
AT_ONCE = 2  # concurrent transactions
TRIES = 5  # of one batch, when it meets numbers that were drawn just before it claimed them
MAX_NUMBER = 2**52  # of a provider's ids that become our numbers: beyond it our own have room up to MAX_INTEGER

# Batches need not wait for the disk one by one: the record of the import does, and brings all before it along.
# A crash in between loses whole batches, which the next import takes in again.
BATCH_SETTINGS = "SET LOCAL synchronous_commit = off"


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
Rows = list[Body]
Taken = tuple[int, int]  # objects without a parent here, objects taken in


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
    """Reads the next batches while PostgreSQL takes in the last ones."""
    sql = statements(mirror, collection)
    async with client.stream(collection.name) as stream:
        sifted = _sifted(_gathered(stream), collection, report)
        async for taking in _overlapped(sifted, lambda rows: _take_in(pool, sql, mirror, rows)):
            orphans, taken = await taking
            report.taken += taken
            _note_orphans(report, collection, orphans)
            progress(report)


async def _gathered(stream: AsyncIterator[list[object]]) -> AsyncIterator[list[object]]:
    """The same elements in batches of about BATCH; those that came before an error are handed out first."""
    gathered: list[object] = []
    try:
        async for batch in stream:
            gathered += batch
            if len(gathered) >= BATCH:
                yield gathered
                gathered = []
    except ProviderError:
        yield gathered
        raise
    yield gathered


async def _sifted(batches: AsyncIterator[list[object]], collection: Collection, report: Report) -> AsyncIterator[Rows]:
    """The usable elements of each batch, one for each id; the others are noted in the report."""
    why_not = unusable_in(collection)
    names = ("id", *collection.remote_names)
    async for batch in batches:
        usable: dict[int, Body] = {}
        for element in batch:
            if reason := why_not(element):
                report.refused += 1
                report.examples += [reason] if len(report.examples) < EXAMPLES else []
            elif isinstance(element, dict):
                usable.setdefault(int(element["id"]), {name: element[name] for name in names})
        report.seen += len(batch)
        yield list(usable.values())


async def _overlapped(
    batches: AsyncIterator[Rows], start: Callable[[Rows], Coroutine[None, None, Taken]]
) -> AsyncIterator[asyncio.Task[Taken]]:
    """Runs AT_ONCE batches concurrently and yields each, in order, when room is needed or the batches have ended."""
    running: deque[asyncio.Task[Taken]] = deque()
    try:
        async for batch in batches:
            if len(running) == AT_ONCE:
                yield running.popleft()
            running.append(asyncio.create_task(start(batch)))
    except ProviderError:
        while running:
            yield running.popleft()
        raise
    while running:
        yield running.popleft()


async def _take_in(pool: Pool, sql: Statements, mirror: Mirror, rows: Rows) -> Taken:
    """One batch in one transaction; again when it meets a number that was drawn before it claimed its own."""
    time_and_version = f"{time.time_ns() // 1_000_000:012x}7"
    batch = {"batch": orjson.dumps(rows).decode(), "time": time_and_version, "seed": uuid4().hex}
    await _claim_numbers(pool, sql, max((n for row in rows if (n := int(str(row["id"]))) <= MAX_NUMBER), default=0))
    for tries_left in reversed(range(TRIES)):
        try:
            async with pool.connection() as connection, connection.transaction():
                await connection.execute(BATCH_SETTINGS)
                await connection.execute(*set_local(origin=mirror.provider, trace="import"))
                cursor = await connection.execute(sql["take_in"], batch | {"largest_kept": MAX_NUMBER})
                return await cursor.fetchone() or (0, 0)
        except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
            if not tries_left:
                raise
    raise AssertionError("unreachable")


async def _claim_numbers(pool: Pool, sql: Statements, largest: int) -> None:
    """Moves the sequence of numbers past a batch before any of its rows is there.

    Who creates something meanwhile, or after we were killed, draws a number beyond. In a transaction of its own: a
    sequence is moved for good in any case, and the other batch under way need not wait for this one.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(sql["lock_numbers"])
        await connection.execute(sql["claim_numbers"], {"largest": largest})


def _note_orphans(report: Report, collection: Collection, orphans: int) -> None:
    if orphans and collection.parent:
        report.refused += orphans
        reason = f"{orphans:,} whose {collection.parent.remote} names nothing that is here"
        report.examples += [reason] if len(report.examples) < EXAMPLES else []


def unusable_in(collection: Collection) -> Callable[[object], str]:
    """A function that says why an element of the provider's cannot be imported; "" when it can."""
    numbers = ["id", *(f.remote for f in collection.fields if f.type == "integer")]
    numbers += [collection.parent.remote] if collection.parent else []
    texts = [f.remote for f in collection.fields if f.type == "text"]

    def why_not(element: object) -> str:
        if not isinstance(element, dict):
            return f"{_short(element)} is not an object"
        for name in numbers:
            if integer_of(value := element.get(name)) is None:
                return (
                    f"id {_short(element.get('id'))}: {name} is {_short(value)}, not a whole number up to {MAX_INTEGER}"
                )
        for name in texts:
            if not is_text(value := element.get(name)):
                return f"id {_short(element.get('id'))}: {name} is {_short(value)}, not text that can be kept"
        return ""

    return why_not


def _short(value: object) -> str:
    text = excerpt(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
