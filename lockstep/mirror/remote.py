"""The rows of lockstep_mirror_remoteobject, one object at a time (sql/remote.sql)."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypedDict
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from lockstep.http.json_text import integer_of
from lockstep.mirror.collections import Body, Collection, Mirror
from lockstep.sql import statements

SQL = statements(__file__, "remote")

Kind = Literal["update", "delete"]
Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]


class Intent(TypedDict, total=False):
    """A write that was sent and has no response yet: the body of a creation, or the fingerprint in a deletion."""

    create: Body
    delete: str


@dataclass(frozen=True, slots=True)
class RemoteState:
    """The known state of an object's copy; empty for one that was never sent."""

    remote_id: str | None = None
    intent: Intent | None = None
    acknowledged: UUID | None = None

    @property
    def lost_creation(self) -> Body | None:
        """The body of a creation without a response."""
        return self.intent.get("create") if self.intent else None

    @property
    def lost_deletion(self) -> str | None:
        """The fingerprint of the copy in a deletion without a response."""
        return self.intent.get("delete") if self.intent else None


def projection(collection: Collection, found: Body) -> Body:
    """The mirrored fields of a provider's object, with numbers as numbers: some providers return them as strings.

    Lists and objects are emptied: none of our fields has one.
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

    A value that is missing or of the wrong type results in a digest that no body of ours has.
    """
    values = [body.get(name) for name in collection.remote_names]
    as_ours = all(map(isinstance, values, collection.remote_types))
    text = "\x1f".join(map(str, values)) if as_ours else f"\x1f\x1f{values!r}"
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def fingerprint(collection: Collection, body: Body) -> UUID:
    """The digest as a UUID, which takes half the space of its text in the database."""
    return UUID(hex=digest(collection, body))


async def keeps_writes(connection: Connection, mirror: Mirror) -> bool:
    """Whether the provider persists acknowledged writes; False while that is not known."""
    cursor = await connection.execute(SQL["keeps_writes"], {"collections": mirror.keys})
    row = await cursor.fetchone()
    return bool(row and row[0])


class Remote:
    """Reads and writes the known state of the copies in one collection."""

    def __init__(self, pool: Pool, mirror: Mirror, collection: Collection) -> None:
        self._pool = pool
        self._mirrored = collection
        self._collection = mirror.key(collection.name)
        self._collections = mirror.keys

    async def find(self, object_id: str) -> RemoteState:
        """The known state of the object's copy."""
        rows = await self._run("find", object_id)
        return RemoteState(*rows[0]) if rows else RemoteState()

    async def remote_id_of_parent(self, object_id: str) -> str | None:
        """The provider's id of a parent; None while the provider lacks it."""
        rows = await self._run("parent", object_id)
        return str(rows[0][0]) if rows else None

    async def record_intent(self, object_id: str, intent: Intent | None) -> None:
        """Records a write before it is sent; None if it certainly did not arrive."""
        await self._run("record_intent", object_id, intent=Jsonb(intent) if intent else None)

    async def begin_creation(self, object_id: str, body: Body) -> str:
        """Records a creation before it is sent. Returns its id for `acknowledge` and `withdraw_creation`."""
        mark = fingerprint(self._mirrored, body)
        rows = await self._run("begin_creation", object_id, intent=Jsonb({"create": body}), fingerprint=mark)
        return str(rows[0][0])

    async def withdraw_creation(self, object_id: str, sent: str) -> None:
        """Removes the record of a creation that certainly did not arrive."""
        await self._run("withdraw_creation", object_id, sent=sent)

    async def note_unanswered(self, object_id: str, kind: Kind, remote_id: str, mark: UUID) -> None:
        """Records an update or deletion with an unknown outcome, which may take effect later."""
        await self._run("note_unanswered", object_id, kind=kind, remote_id=remote_id, fingerprint=mark)

    async def fingerprints(self, object_id: str) -> set[UUID]:
        """The fingerprints of all bodies that our writes may have left under the object's id."""
        return {row[0] for row in await self._run("fingerprints", object_id) if row[0]}

    async def acknowledge(self, object_id: str, remote_id: str, body: Body | None, sent: str | None = None) -> bool:
        """Records that the provider acknowledged this body under this id; None for a deletion. `sent` names a creation.

        Returns whether another object of ours had the id, and so has lost its copy. Objects with the same id are
        recorded one at a time, so that one of them keeps it.
        """
        mark = fingerprint(self._mirrored, body) if body else None
        async with self._deciding(object_id, remote_id) as (connection, parameters):
            await connection.execute(SQL["acknowledge"], parameters | {"fingerprint": mark, "sent": sent})
            cursor = await connection.execute(
                SQL["unlink_previous_owner"], parameters | {"collections": self._collections}
            )
            return await cursor.fetchone() is not None

    async def acknowledge_update(self, object_id: str, remote_id: str, body: Body) -> bool:
        """Records an acknowledged update; False if the id belongs to another object by now."""
        mark = fingerprint(self._mirrored, body)
        return bool(await self._run("acknowledge_update", object_id, remote_id=remote_id, fingerprint=mark))

    async def unlink(self, object_id: str, remote_id: str) -> None:
        """Unlinks a copy that no longer exists at the provider."""
        await self._run("unlink", object_id, remote_id=remote_id)

    async def take(self, object_id: str, remote_id: str) -> bool:
        """Links a found copy to this object; False if it belongs to another one."""
        async with self._deciding(object_id, remote_id) as (connection, parameters):
            cursor = await connection.execute(SQL["take"], parameters)
            return await cursor.fetchone() is not None

    async def verify(self, object_id: str, remote_id: str) -> bool:
        """Records that the acknowledged copy was read under this id.

        Returns whether an object of ours, possibly this one, has lost the id, because another one got it later.
        """
        async with self._deciding(object_id, remote_id) as (connection, parameters):
            cursor = await connection.execute(SQL["verify"], parameters)
            return any(lost for (lost,) in await cursor.fetchall())

    async def miss(self, object_id: str, remote_id: str) -> None:
        """Records that an acknowledged copy was not found."""
        await self._run("miss", object_id, remote_id=remote_id)

    async def forget(self, object_id: str, mark: UUID | None = None, *, answered: bool = False) -> None:
        """Records that the copy is deleted; `mark` was its fingerprint, `answered` whether that is certain."""
        await self._run("forget", object_id, fingerprint=mark, answered=answered)

    async def not_taken(self, object_id: str, remote_ids: list[str]) -> list[str]:
        """The ids that belong to no other object of ours."""
        taken = {row[0] for row in await self._run("taken", object_id, remote_ids=remote_ids)}
        return [remote_id for remote_id in remote_ids if remote_id not in taken]

    @asynccontextmanager
    async def _deciding(self, object_id: str, remote_id: str) -> AsyncIterator[tuple[Connection, dict[str, str]]]:
        """A transaction with a lock of this id, and the parameters of its statements."""
        parameters = {"object_id": object_id, "collection": self._collection, "remote_id": remote_id}
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(SQL["lock_remote_id"], parameters)
            yield connection, parameters

    async def _run(self, name: str, object_id: str, **parameters: object) -> list[TupleRow]:
        parameters |= {"object_id": object_id, "collection": self._collection}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(SQL[name], parameters)
            return await cursor.fetchall() if cursor.description else []
