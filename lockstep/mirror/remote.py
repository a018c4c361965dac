"""The rows of mirror_remoteobject, one object at a time (sql/remote.sql)."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from lockstep.changes.sql_file import load
from lockstep.mirror.collections import Collection, Mirror
from lockstep.providers.json_text import integer_of

SQL = load(Path(__file__).parent / "sql" / "remote.sql")

Body = dict[str, Any]
Kind = Literal["update", "delete"]
Connection = AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]


@dataclass(frozen=True, slots=True)
class Known:
    """What we know of an object's copy; all empty for one that was never sent."""

    remote_id: str | None = None
    intent: Body | None = None
    acknowledged: UUID | None = None

    @property
    def lost_creation(self) -> Body | None:
        """The body of a creation that got no answer."""
        return self.intent.get("create") if self.intent else None

    @property
    def lost_deletion(self) -> str | None:
        """The digest of what was to be deleted by a deletion that got no answer."""
        return self.intent.get("delete") if self.intent else None


def projection(collection: Collection, found: Body) -> Body:
    """A provider's object reduced to what we mirror, its numbers as numbers: some give them as strings.

    A list or an object in a field's place is as good as an empty one: none of ours has it.
    """
    body = {name: found[name] for name in collection.remote_names if name in found}
    for name, value in body.items():
        if isinstance(value, dict | list):
            body[name] = type(value)()
        elif name in collection.remote_numbers and (number := integer_of(value)) is not None:
            body[name] = number
    return body


def digest(collection: Collection, body: Body) -> str:
    """The MD5 of a body's values, in the order of the collection's fields; SQL computes the same in bulk.

    A value that is missing or of the wrong type makes a digest that no body of ours has.
    """
    values = [body.get(name) for name in collection.remote_names]
    as_ours = all(map(isinstance, values, collection.remote_types))
    text = "\x1f".join(map(str, values)) if as_ours else f"\x1f\x1f{values!r}"
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def fingerprint(collection: Collection, body: Body) -> UUID:
    """The digest as mirror_remoteobject keeps it: a UUID takes half the room of its text."""
    return UUID(hex=digest(collection, body))


async def keeps_writes(connection: Connection, mirror: Mirror) -> bool:
    """Whether the provider is one that shows what it said yes to; False while that is not known."""
    cursor = await connection.execute(SQL["keeps_writes"], {"collections": mirror.keys})
    row = await cursor.fetchone()
    return bool(row and row[0])


class Remote:
    """Reads and writes what we know of the objects of one collection."""

    def __init__(self, pool: Pool, mirror: Mirror, collection: Collection) -> None:
        self._pool = pool
        self._mirrored = collection
        self._collection = mirror.key(collection.name)
        self._collections = mirror.keys

    async def find(self, object_id: str) -> Known:
        """What we know of the object's copy."""
        rows = await self._run("find", object_id)
        return Known(*rows[0]) if rows else Known()

    async def remote_id_of_parent(self, object_id: str) -> str | None:
        """The provider's id of a parent; None while the provider does not have it."""
        rows = await self._run("parent", object_id)
        return str(rows[0][0]) if rows else None

    async def intend(self, object_id: str, intent: Body | None) -> None:
        """Remembers what is about to be sent; None when it certainly did not arrive."""
        await self._run("intend", object_id, intent=Jsonb(intent) if intent else None)

    async def begin_creation(self, object_id: str, body: Body) -> str:
        """Remembers a creation that is about to be sent; by which name `acknowledge` and `withdraw` know it."""
        mark = fingerprint(self._mirrored, body)
        rows = await self._run("begin_creation", object_id, intent=Jsonb({"create": body}), fingerprint=mark)
        return str(rows[0][0])

    async def withdraw_creation(self, object_id: str, sent: str) -> None:
        """The creation certainly did not arrive."""
        await self._run("withdraw_creation", object_id, sent=sent)

    async def note_unanswered(self, object_id: str, kind: Kind, remote_id: str, mark: UUID) -> None:
        """An update to a body with this fingerprint, or a deletion of it, got no clear answer: it may come late."""
        await self._run("note_unanswered", object_id, kind=kind, remote_id=remote_id, fingerprint=mark)

    async def fingerprints(self, object_id: str) -> set[UUID]:
        """Those of all that may be under the object's id at the provider by our own doing."""
        return {row[0] for row in await self._run("fingerprints", object_id) if row[0]}

    async def acknowledge(self, object_id: str, remote_id: str, body: Body | None, sent: str | None = None) -> bool:
        """The provider said yes to this body under this id; None stands for the deletion. `sent` names a creation.

        Returns whether another object of ours had the id, and has lost its copy therefore. Two that were given the same
        id one after the other come one at a time, so that one of them has it in the end.
        """
        mark = fingerprint(self._mirrored, body) if body else None
        async with self._deciding(object_id, remote_id) as (connection, parameters):
            await connection.execute(SQL["acknowledge"], parameters | {"fingerprint": mark, "sent": sent})
            cursor = await connection.execute(SQL["dispossess"], parameters | {"collections": self._collections})
            return await cursor.fetchone() is not None

    async def acknowledge_update(self, object_id: str, remote_id: str, body: Body) -> bool:
        """The provider said yes to this body for a copy that it had; False when the id is another object's by now."""
        mark = fingerprint(self._mirrored, body)
        return bool(await self._run("acknowledge_update", object_id, remote_id=remote_id, fingerprint=mark))

    async def disown(self, object_id: str, remote_id: str) -> None:
        """The copy under this id is not found any more."""
        await self._run("disown", object_id, remote_id=remote_id)

    async def take(self, object_id: str, remote_id: str) -> bool:
        """Makes a copy that was found this object's; False when it is another one's."""
        async with self._deciding(object_id, remote_id) as (connection, parameters):
            cursor = await connection.execute(SQL["take"], parameters)
            return await cursor.fetchone() is not None

    async def verify(self, object_id: str, remote_id: str) -> bool:
        """What the provider acknowledged was seen there under this id.

        Returns whether an object of ours (it may be this one) has lost the id, because another one was given it later.
        """
        async with self._deciding(object_id, remote_id) as (connection, parameters):
            cursor = await connection.execute(SQL["verify"], parameters)
            return any(lost for (lost,) in await cursor.fetchall())

    async def miss(self, object_id: str, remote_id: str) -> None:
        """What the provider acknowledged was looked for under this id and not seen."""
        await self._run("miss", object_id, remote_id=remote_id)

    async def forget(self, object_id: str, mark: UUID | None = None, *, answered: bool = False) -> None:
        """There is no copy any more; `mark` is the fingerprint that it had, `answered` whether that is beyond doubt."""
        await self._run("forget", object_id, fingerprint=mark, answered=answered)

    async def not_taken(self, object_id: str, remote_ids: list[str]) -> list[str]:
        """Those of the ids that belong to no other object of ours."""
        taken = {row[0] for row in await self._run("taken", object_id, remote_ids=remote_ids)}
        return [remote_id for remote_id in remote_ids if remote_id not in taken]

    @asynccontextmanager
    async def _deciding(self, object_id: str, remote_id: str) -> AsyncIterator[tuple[Connection, dict[str, str]]]:
        """A transaction in which nobody else decides who has this id, and the parameters of its statements."""
        parameters = {"object_id": object_id, "collection": self._collection, "remote_id": remote_id}
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(SQL["lock_remote_id"], parameters)
            yield connection, parameters

    async def _run(self, name: str, object_id: str, **parameters: object) -> list[tuple[Any, ...]]:
        parameters |= {"object_id": object_id, "collection": self._collection}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(SQL[name], parameters)
            return await cursor.fetchall() if cursor.description else []
