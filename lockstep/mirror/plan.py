"""The plan: the differences between local data and a provider, field by field."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow

from lockstep.http.errors import MalformedResponse
from lockstep.http.json_text import excerpt, integer_of
from lockstep.mirror.collection_sql import statements
from lockstep.mirror.collections import Body, Client, Collection, Mirror
from lockstep.mirror.remote import digest, keeps_writes, projection

__all__ = ["Plan"]

Connection = AsyncConnection[TupleRow]
Kind = Literal["create", "update", "delete", "not_persisted"]

# Steps are pushed within the transaction of their cursor, which locks no row.
NO_IDLE_TIMEOUT = "SET LOCAL idle_in_transaction_session_timeout = 0"
MUCH = 10  # a provider has shrunk if it lacks more than a tenth of our copies


@dataclass(frozen=True, slots=True)
class Step:
    """One difference: a change to make at the provider, or `not_persisted`, which a push cannot repair.

    `object_id` and `number` are None for an object that exists only at the provider, `remote_id` for one that exists
    only here. `self_inflicted` differences are effects of our own writes, and no drift: see reconcile.py.
    """

    collection: Collection
    kind: Kind
    object_id: str | None
    number: int | None
    remote_id: str | None
    theirs: Body | None
    ours: Body | None
    self_inflicted: bool = False
    fingerprint: UUID | None = None  # of the provider's copy, or else of ours

    @property
    def is_self_inflicted(self) -> bool:
        """Whether it is an effect of our own writes, which a worker repairs; operators decide about drift."""
        return self.self_inflicted or self.follows_parent

    @property
    def differences(self) -> list[tuple[str, object, object]]:
        """(field, theirs, ours) for each field that differs."""
        theirs, ours = self.theirs or {}, self.ours or {}
        names = list(ours) or list(theirs)
        return [(n, theirs.get(n), ours.get(n)) for n in names if theirs.get(n) != ours.get(n)]

    @property
    def follows_parent(self) -> bool:
        """Whether only the parent's id differs, because the parent has a new one."""
        parent = self.collection.parent
        if parent is None or self.kind != "update":
            return False
        return [name for name, _, _ in self.differences] == [parent.remote]


class Plan:
    """A comparison in temporary tables of one connection, until it is closed."""

    def __init__(self, mirror: Mirror, connection: Connection) -> None:
        self.mirror = mirror
        self.connection = connection
        self.listed: Counter[str] = Counter()
        self.counts: Counter[Kind] = Counter()
        self.self_inflicted: Counter[Kind] = Counter()  # those that are no drift: see reconcile.py
        self.gone = 0  # copies of ours that disappeared
        self.seen = 0  # copies of ours that were seen at the provider
        self.unusable: Counter[str] = Counter()  # remote objects with an unusable id, which are ignored
        self.began: datetime | None = None

    async def make(
        self, client: Client, progress: Callable[[str, int], None] = lambda name, listed: None, *, adopt: bool = False
    ) -> None:
        """Lists the provider's collections and compares them with ours.

        With `adopt`, copies that got another id at the provider are linked to it. Raises ProviderError for an
        incomplete listing, which would result in a wrong plan.
        """
        cursor = await self.connection.execute("SELECT clock_timestamp()")
        (self.began,) = await cursor.fetchone() or (None,)
        for collection in self.mirror.collections:
            await self._list(collection, client, progress)
        facts = {"began": self.began, "keeps_writes": await keeps_writes(self.connection, self.mirror)}
        for collection in self.mirror.collections:
            await self._compare(collection, facts, adopt=adopt)

    async def _list(self, collection: Collection, client: Client, progress: Callable[[str, int], None]) -> None:
        sql = statements(self.mirror, collection)
        await self.connection.execute(sql["drop_listing"])
        await self.connection.execute(sql["make_listing"])
        try:
            async with (
                client.stream(collection.name) as stream,
                self.connection.cursor() as cursor,
                cursor.copy(sql["fill_listing"]) as copy,
            ):
                async for batch in stream:
                    lines = [copy_line(collection, element) for element in batch]
                    self.unusable[collection.name] += lines.count(b"")
                    await copy.write(b"".join(lines))
                    self.listed[collection.name] += len(batch)
                    progress(collection.name, self.listed[collection.name])
        except UniqueViolation as error:
            raise MalformedResponse(f"{collection.name} has an id twice") from error

    async def _compare(self, collection: Collection, facts: dict[str, object], *, adopt: bool) -> None:
        sql = statements(self.mirror, collection)
        await self.connection.execute(sql["compare"], facts)
        if adopt and (await self.connection.execute(sql["adopt"])).rowcount:
            await self.connection.execute(sql["drop_plan"])
            await self.connection.execute(sql["compare"], facts)
        cursor = await self.connection.execute(sql["count_plan"])
        for kind, count, self_inflicted, gone in await cursor.fetchall():
            self.counts[kind] += count
            self.self_inflicted[kind] += self_inflicted
            self.gone += gone
        cursor = await self.connection.execute(sql["count_seen"])
        self.seen += (await cursor.fetchone() or (0,))[0]

    @asynccontextmanager
    async def steps(self, collection: Collection, *kinds: Kind) -> AsyncIterator[AsyncIterator[Step]]:
        """The steps of these kinds in one collection, by number, read in batches.

        A context manager, so that its cursor is closed before the next statement.
        """
        sql = statements(self.mirror, collection)
        async with self.connection.transaction(), self.connection.cursor(name="steps") as cursor:
            await self.connection.execute(NO_IDLE_TIMEOUT)
            await cursor.execute(sql["read_plan"], {"kinds": list(kinds)})
            yield (Step(collection, *row) async for row in cursor)

    async def verify(self) -> None:
        """Marks acknowledged copies that are in the listing as verified."""
        for collection in self.mirror.collections:
            await self.connection.execute(statements(self.mirror, collection)["verify_listed"])

    async def close(self) -> None:
        """Drops the temporary tables."""
        for collection in self.mirror.collections:
            await self.connection.execute(statements(self.mirror, collection)["drop_listing"])

    @property
    def todo(self) -> int:
        """The number of objects that a push can repair."""
        return self.counts.total() - self.counts["not_persisted"]

    @property
    def drift(self) -> int:
        """The number of objects that differ, including those that a push cannot repair."""
        return self.counts.total() + self.unusable.total()

    @property
    def by_others(self) -> Counter[Kind]:
        """The differences that are drift, by kind."""
        return self.counts - self.self_inflicted

    @property
    def has_shrunk(self) -> bool:
        """Whether the provider lacks more than a tenth of our copies."""
        return self.gone * MUCH > self.seen


def copy_line(collection: Collection, element: object) -> bytes:
    """A provider's object as a line for COPY: its id, its fingerprint, and its mirrored fields as JSON.

    Empty for an unusable id. Raises MalformedResponse for an object without an id. Any other field may be missing or
    invalid, which is a difference.
    """
    if not isinstance(element, dict) or "id" not in element:
        raise MalformedResponse(f"in {collection.name}: {excerpt(element)} has no id")
    remote_id = integer_of(element["id"])
    if remote_id is None:
        return b""
    body = projection(collection, element)
    storable = {name: _without_odd_characters(value) for name, value in body.items()}
    text = orjson.dumps(storable).replace(b"\\", b"\\\\")
    return b"%d\t%s\t%s\n" % (remote_id, digest(collection, body).encode(), text)


def _without_odd_characters(value: object) -> object:
    """A text without NUL and lone surrogates, which jsonb cannot store."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
