"""The plan: what differs at a provider, field by field, before anything is done about it."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from lockstep.mirror.collection_sql import statements
from lockstep.mirror.collections import Client, Collection, Mirror
from lockstep.mirror.remote import Body, digest, keeps_writes, projection
from lockstep.providers.errors import Garbled
from lockstep.providers.json_text import excerpt, integer_of

Connection = AsyncConnection[Any]
Kind = Literal["create", "update", "delete", "unkept"]

# Pushes of steps are waited for within the transaction of their cursor, which locks no row.
NO_IDLE_TIMEOUT = "SET LOCAL idle_in_transaction_session_timeout = 0"
MUCH = 10  # a provider that shows a tenth less of ours than it had shows much less


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do at the provider; `unkept` ones can only be told.

    `object_id` and `number` are ours and missing for what the provider has and we do not; `remote_id` is the
    provider's and missing for what it has not. `owed` ones are no
    drift by others' hands: see aftermath.py.
    """

    collection: Collection
    kind: Kind
    object_id: str | None
    number: int | None
    remote_id: str | None
    theirs: Body | None
    ours: Body | None
    owed: bool = False
    fingerprint: UUID | None = None  # of what the provider has, or else of ours

    @property
    def is_self_inflicted(self) -> bool:
        """Whether it is no drift by others' hands, which only people decide about."""
        return self.owed or self.follows_parent

    @property
    def differences(self) -> list[tuple[str, Any, Any]]:
        """(field, theirs, ours) for each field that differs."""
        theirs, ours = self.theirs or {}, self.ours or {}
        names = list(ours) or list(theirs)
        return [(n, theirs.get(n), ours.get(n)) for n in names if theirs.get(n) != ours.get(n)]

    @property
    def follows_parent(self) -> bool:
        """Whether all that differs is the parent's id: the parent was given another one."""
        parent = self.collection.parent
        if parent is None or self.kind != "update":
            return False
        return [name for name, _, _ in self.differences] == [parent.remote]


class Plan:
    """A comparison that stands in temporary tables of one connection until it is closed."""

    def __init__(self, mirror: Mirror, connection: Connection) -> None:
        self.mirror = mirror
        self.connection = connection
        self.listed: Counter[str] = Counter()
        self.counts: Counter[Kind] = Counter()
        self.owed: Counter[Kind] = Counter()  # those of them that are nobody else's drift: see aftermath.py
        self.gone = 0  # copies of ours that were seen there and are not
        self.seen = 0  # copies of ours that were seen there
        self.unusable: Counter[str] = Counter()  # objects there with an id that cannot be used: they are left alone
        self.began: datetime | None = None

    async def make(self, client: Client, progress: Callable[[str, int], None], *, adopt: bool = False) -> None:
        """Lists the provider's collections and compares them with ours.

        With `adopt`, copies to which the provider has given other ids become ours under these. Raises ProviderError
        when a listing cannot be read to its end: half a listing would plan deletions in reverse.
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
        for statement in sql["make_listing"].split(";"):
            await self.connection.execute(statement)
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
            raise Garbled(f"{collection.name} has an id twice") from error

    async def _compare(self, collection: Collection, facts: dict[str, object], *, adopt: bool) -> None:
        sql = statements(self.mirror, collection)
        await self.connection.execute(sql["compare"], facts)
        if adopt and (await self.connection.execute(sql["adopt"])).rowcount:
            await self.connection.execute(sql["drop_plan"])
            await self.connection.execute(sql["compare"], facts)
        cursor = await self.connection.execute(sql["count_plan"])
        for kind, count, owed, gone in await cursor.fetchall():
            self.counts[kind] += count
            self.owed[kind] += owed
            self.gone += gone
        cursor = await self.connection.execute(sql["count_seen"])
        self.seen += (await cursor.fetchone() or (0,))[0]

    @asynccontextmanager
    async def steps(self, collection: Collection, *kinds: Kind) -> AsyncIterator[AsyncIterator[Step]]:
        """The steps of these kinds in one collection, by number; a few at a time are in memory.

        A block, so that its cursor is closed before the next statement, wherever the loop in it ends.
        """
        sql = statements(self.mirror, collection)
        async with self.connection.transaction(), self.connection.cursor(name="steps") as cursor:
            await self.connection.execute(NO_IDLE_TIMEOUT)
            await cursor.execute(sql["read_plan"], {"kinds": list(kinds)})
            yield (Step(collection, *row) async for row in cursor)

    async def verify(self) -> None:
        """Marks what was acknowledged and is now seen in the listing."""
        for collection in self.mirror.collections:
            await self.connection.execute(statements(self.mirror, collection)["verify_listed"])

    async def close(self) -> None:
        """Drops the temporary tables."""
        for collection in self.mirror.collections:
            await self.connection.execute(statements(self.mirror, collection)["drop_listing"])

    @property
    def todo(self) -> int:
        """How many objects can be mended by pushing."""
        return self.counts.total() - self.counts["unkept"]

    @property
    def drift(self) -> int:
        """How many objects differ, those included that cannot be mended by pushing."""
        return self.counts.total() + self.unusable.total()

    @property
    def by_others(self) -> Counter[Kind]:
        """The differences that are drift by others' hands, by kind."""
        return self.counts - self.owed

    @property
    def has_shrunk(self) -> bool:
        """Whether the provider shows much less of ours than it had."""
        return self.gone * MUCH > self.seen


def copy_line(collection: Collection, element: object) -> bytes:
    """A provider's object as a line for COPY: its id, its fingerprint, and what we mirror of it as JSON.

    Empty for one whose id cannot be used. Raises Garbled for what has none. Any field may be missing or odd, which is
    then a difference.
    """
    if not isinstance(element, dict) or "id" not in element:
        raise Garbled(f"in {collection.name}: {excerpt(element)} has no id")
    remote_id = integer_of(element["id"])
    if remote_id is None:
        return b""
    body = projection(collection, element)
    shown = {name: _without_odd_characters(value) for name, value in body.items()}
    text = orjson.dumps(shown).replace(b"\\", b"\\\\")
    return b"%d\t%s\t%s\n" % (remote_id, digest(collection, body).encode(), text)


def _without_odd_characters(value: object) -> object:
    """NUL and lone surrogates, which jsonb cannot hold, as another character."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
