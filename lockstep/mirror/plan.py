"""The plan: what differs at a provider, field by field, before anything is done about it."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from psycopg import AsyncConnection

from lockstep.mirror.collection_sql import statements
from lockstep.mirror.collections import Client, Collection, Mirror
from lockstep.mirror.importing import unusable_in
from lockstep.mirror.remote import Body
from lockstep.providers.errors import Garbled

Connection = AsyncConnection[Any]
Kind = Literal["create", "update", "delete", "unkept"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do at the provider; `unkept` ones can only be told.

    `object_id` and `number` are ours and missing for what the provider has and we do not; `remote_id` is the
    provider's and missing for what it has not. `vanished` copies were seen at the provider before.
    """

    collection: Collection
    kind: Kind
    object_id: str | None
    number: int | None
    remote_id: str | None
    theirs: Body | None
    ours: Body | None
    vanished: bool = False

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

    async def make(self, client: Client, progress: Callable[[str, int], None]) -> None:
        """Lists the provider's collections and compares them with ours.

        Raises ProviderError when a listing cannot be read to its end: half a listing would plan deletions in reverse.
        """
        cursor = await self.connection.execute("SELECT clock_timestamp()")
        (began,) = await cursor.fetchone() or (None,)
        for collection in self.mirror.collections:
            await self._list(collection, client, progress)
        for collection in self.mirror.collections:
            await self._compare(collection, began)

    async def _list(self, collection: Collection, client: Client, progress: Callable[[str, int], None]) -> None:
        sql = statements(self.mirror, collection)
        for statement in sql["make_listing"].split(";"):
            await self.connection.execute(statement)
        async with aclosing(client.stream(collection.name)) as stream:
            async for batch in stream:
                text = orjson.dumps(batch).replace(b"\\u0000", b"\\ufffd")  # PostgreSQL's text cannot hold NUL
                cursor = await self.connection.execute(sql["fill_listing"], {"batch": text.decode()})
                (placed,) = await cursor.fetchone() or (0,)
                if placed < len(batch):
                    raise Garbled(_misfit(collection, batch))
                self.listed[collection.name] += placed
                progress(collection.name, self.listed[collection.name])

    async def _compare(self, collection: Collection, began: object) -> None:
        sql = statements(self.mirror, collection)
        await self.connection.execute(sql["prepare_comparison"])
        await self.connection.execute(sql["compare"], {"began": began})
        cursor = await self.connection.execute(sql["count_plan"])
        self.counts.update(dict(await cursor.fetchall()))

    async def steps(self, collection: Collection, *kinds: Kind) -> AsyncIterator[Step]:
        """The steps of these kinds in one collection, by number; a few at a time are in memory."""
        sql = statements(self.mirror, collection)
        async with self.connection.transaction(), self.connection.cursor(name="steps") as cursor:
            await cursor.execute(sql["read_plan"], {"kinds": list(kinds)})
            async for row in cursor:
                yield Step(collection, *row)

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
        return self.drift - self.counts["unkept"]

    @property
    def drift(self) -> int:
        """How many objects differ, those included that the provider does not keep."""
        return self.counts.total()


def _misfit(collection: Collection, batch: Iterable[object]) -> str:
    """Why a batch did not fit into the listing."""
    why_not = unusable_in(collection)
    reasons = [reason for element in batch if (reason := why_not(element))]
    return f"in {collection.name}: {reasons[0]}" if reasons else f"{collection.name} has an id twice"
