"""Import: inserts the objects of a provider that are unknown here. It changes and deletes nothing."""

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

MAX_EXAMPLES = 5  # unusable objects that a report names
BATCH = 5_000  # objects of one transaction
CONCURRENCY = 2  # transactions
MAX_TRIES = 5  # of one batch, if numbers were drawn just before it claimed them
MAX_NUMBER = 2**52  # of a provider's ids that become our numbers: beyond it our own have room up to MAX_INTEGER

# A batch does not wait for the disk. The commit of the import's record does, and writes all batches before it. A crash
# in between loses whole batches, which the next import inserts again.
BATCH_SETTINGS = "SET LOCAL synchronous_commit = off"


@dataclass
class Report:
    """The result for one collection: of `seen` objects `taken` were inserted, and `refused` are unusable."""

    collection: str
    seen: int = 0
    taken: int = 0
    refused: int = 0
    examples: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def known(self) -> int:
        """Objects that were here before, and repeated ones."""
        return self.seen - self.taken - self.refused

    def refuse(self, reason: str, count: int = 1) -> None:
        """Counts unusable objects. The first reasons are kept as examples."""
        self.refused += count
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(reason)


Progress = Callable[[Report], None]
Rows = list[Body]
Taken = tuple[int, int]  # objects without a parent here, inserted objects


async def import_all(mirror: Mirror, client: Client, pool: Pool, progress: Progress) -> list[Report]:
    """Imports every collection, parents first. An error of the provider ends the import; inserted objects stay.

    Each batch is a transaction of its own, so a repeated import continues where an interrupted one has ended.
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
    """Reads the next batches while PostgreSQL inserts those before."""
    sql = statements(mirror, collection)
    async with client.stream(collection.name) as stream:
        sifted = _sifted(_gathered(stream), collection, report)
        async for taking in _overlapped(sifted, lambda rows: _take_in(pool, sql, mirror, rows)):
            orphans, taken = await taking
            report.taken += taken
            if orphans and collection.parent:
                report.refuse(f"{orphans:,} whose {collection.parent.remote} names nothing that is here", orphans)
            progress(report)


async def _gathered(stream: AsyncIterator[list[object]]) -> AsyncIterator[list[object]]:
    """The same elements in batches of about BATCH; those before an error are yielded before it is raised."""
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
    """The usable elements of each batch, one for each id; the others are in the report."""
    why_not = unusable_in(collection)
    names = ("id", *collection.remote_names)
    async for batch in batches:
        usable: dict[int, Body] = {}
        for element in batch:
            if reason := why_not(element):
                report.refuse(reason)
            elif isinstance(element, dict):
                usable.setdefault(int(element["id"]), {name: element[name] for name in names})
        report.seen += len(batch)
        yield list(usable.values())


async def _overlapped(
    batches: AsyncIterator[Rows], start: Callable[[Rows], Coroutine[None, None, Taken]]
) -> AsyncIterator[asyncio.Task[Taken]]:
    """Runs CONCURRENCY batches at a time, and yields each in order, once there is another one or no more."""
    running: deque[asyncio.Task[Taken]] = deque()
    try:
        async for batch in batches:
            if len(running) == CONCURRENCY:
                yield running.popleft()
            running.append(asyncio.create_task(start(batch)))
    except ProviderError:
        while running:
            yield running.popleft()
        raise
    while running:
        yield running.popleft()


async def _take_in(pool: Pool, sql: Statements, mirror: Mirror, rows: Rows) -> Taken:
    """Inserts one batch in one transaction; again if a number was drawn before the batch claimed its own."""
    time_and_version = f"{time.time_ns() // 1_000_000:012x}7"
    batch = {"batch": orjson.dumps(rows).decode(), "time": time_and_version, "seed": uuid4().hex}
    await _claim_numbers(pool, sql, max((n for row in rows if (n := int(str(row["id"]))) <= MAX_NUMBER), default=0))
    for tries_left in reversed(range(MAX_TRIES)):
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
    """Moves the sequence of numbers past a batch before its rows are inserted.

    Objects that are created meanwhile, or after this process was killed, get numbers beyond it. In a transaction of its
    own: a rollback does not move a sequence back, and the concurrent batch need not wait for this one.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(sql["lock_numbers"])
        await connection.execute(sql["claim_numbers"], {"largest": largest})


def unusable_in(collection: Collection) -> Callable[[object], str]:
    """A function that returns the reason why an element of the provider's list is unusable; "" for a usable one."""
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
