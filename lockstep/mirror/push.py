"""Pushing one object: the provider is made to have it as we have it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import orjson

from lockstep.delivery import errors as delivery
from lockstep.delivery.subscriptions import Claim, Skipped
from lockstep.mirror.collections import Client, Collection, Mirror
from lockstep.mirror.failures import provider_errors_as_delivery_errors
from lockstep.mirror.remote import Body, Kind, Known, Pool, Remote, fingerprint, keeps_writes, projection
from lockstep.providers.errors import Garbled, NotFound, ProviderError
from lockstep.providers.json_text import integer_of, is_same

Unsettled = Callable[[], Awaitable[None]]

LARGEST_BODY = 4 * 1024 * 1024  # bytes; a client reads elements of a list up to twice that
LONGEST_LOOK_UP = 200  # characters of a field that go into a query; longer ones are compared here


class Pusher:
    """Pushes objects of one mirror. One at a time for each object: the caller holds its lane."""

    def __init__(self, mirror: Mirror, client: Client, pool: Pool, unsettled: Unsettled | None = None) -> None:
        """`unsettled` is called when a push may have changed more at the provider than its object."""
        self.mirror = mirror
        self.client = client
        self.pool = pool
        self.unsettled = unsettled or _nothing
        self.remotes = {c.name: Remote(pool, mirror, c) for c in mirror.collections}

    async def deliver(self, claim: Claim) -> Skipped | None:
        """Handles a claim of the mirror's subscription: pushes the state after its change."""
        change = claim.change
        collection = self.mirror.by_label[change.model]
        never_sent = change.after is None and await self.remotes[collection.name].find(change.object_id) == Known()
        await self.push(collection, change.object_id, change.after, str(claim.message_id))
        return Skipped("the provider never had it") if never_sent else None

    async def push(self, collection: Collection, object_id: str, row: Body | None, key: str | None = None) -> bool:
        """Creates, updates or deletes the copy; `row` is the captured columns, None for a deleted object.

        Returns whether the provider was then seen to have it so; False when it said yes and keeps nothing, or could
        not be asked. Raises delivery errors. Doing it twice does no harm.
        """
        with provider_errors_as_delivery_errors():
            known = await self.remotes[collection.name].find(object_id)
            if row is None:
                return await self._delete(collection, object_id, known)
            body = await self._body(collection, row)
            remote_id = await self._update(collection, object_id, known, body)
            if remote_id is None:
                remote_id = await self._create(collection, object_id, known, body, key)
        return await self._verify(collection, object_id, remote_id, body)

    async def _body(self, collection: Collection, row: Body) -> Body:
        """The row as the provider names it. Raises NotYet while the provider does not have the parent."""
        body = {field.remote: row[field.column] for field in collection.fields}
        if parent := collection.parent:
            remote_id = await self.remotes[parent.collection].remote_id_of_parent(row[parent.column])
            if remote_id is None:
                raise delivery.NotYet(f"its parent in {parent.collection} is not at the provider yet")
            body[parent.remote] = int(remote_id) if remote_id.isdigit() else remote_id
        if (size := len(orjson.dumps(body))) > LARGEST_BODY:
            raise delivery.Refused(
                f"{size:,} bytes are more than we send, {LARGEST_BODY:,}: no list could be read again"
            )
        return body

    async def _update(self, collection: Collection, object_id: str, known: Known, body: Body) -> str | None:
        """The id of the copy that was updated; None when there is none, or somebody deleted it there.

        Raises TryAgain when the id was given to another object of ours meanwhile: that one is then pushed again too.
        """
        remote, remote_id = self.remotes[collection.name], known.remote_id
        if remote_id is None and known.lost_creation:
            remote_id = await self._look_up(collection, object_id, known.lost_creation)
        if remote_id is None:
            return None
        try:
            async with self._noting(collection, object_id, "update", remote_id, fingerprint(collection, body)):
                await self.client.update(collection.name, remote_id, body)
        except NotFound:
            await remote.disown(object_id, remote_id)
            return None
        if not await remote.acknowledge_update(object_id, remote_id, body):
            await self.unsettled()
            raise delivery.TryAgain(f"its id {remote_id} has been given to another object")
        return remote_id

    async def _create(self, collection: Collection, object_id: str, known: Known, body: Body, key: str | None) -> str:
        """Sends the creation once; the new copy's id.

        An answer that got lost leaves the intent, and the next attempt looks first.
        """
        remote = self.remotes[collection.name]
        sent = await remote.begin_creation(object_id, body)
        try:
            remote_id = await self.client.create(collection.name, body, idempotency_key=key)
        except ProviderError as error:
            if not error.maybe_applied:
                await remote.withdraw_creation(object_id, sent)
            raise
        another_lost_it = await remote.acknowledge(object_id, remote_id, body, sent)
        children_refer_elsewhere = known.remote_id not in (None, remote_id)
        if another_lost_it or children_refer_elsewhere:
            await self.unsettled()
        return remote_id

    async def _look_up(self, collection: Collection, object_id: str, sent: Body) -> str | None:
        """The copy that a creation without an answer made after all, if it did.

        Raises Refused when its id is none that can be used: another creation would only make another such copy.
        """
        fields = {name: sent[name] for name in collection.look_up if len(str(sent[name])) <= LONGEST_LOOK_UP}
        found = await self.client.find(collection.name, fields)
        copies = [candidate for candidate in found if same(candidate, sent)]
        ids = [str(number) for copy in copies if (number := integer_of(copy.get("id"))) is not None]
        if copies and not ids:
            raise delivery.Refused("the provider gave its copy an id that cannot be used")
        for remote_id in reversed(ids):
            if await self.remotes[collection.name].take(object_id, remote_id):
                return remote_id
        return None

    async def _delete(self, collection: Collection, object_id: str, known: Known) -> bool:
        """Deletes the copy as it is there now, which its intent remembers.

        Providers give the ids of deleted objects away again. So after a deletion that got no answer, what is under the
        id and looks otherwise is not our copy any more.
        """
        remote, remote_id = self.remotes[collection.name], known.remote_id
        if remote_id is None and known.lost_creation:
            remote_id = await self._look_up(collection, object_id, known.lost_creation)
        if remote_id is None:
            await remote.forget(object_id)
            return True
        copy = await self._fingerprint_of(collection, remote_id)
        if copy is None or not await self._is_ours(remote, object_id, known, copy):
            await self.unsettled()
            await remote.forget(object_id)
            return True
        await remote.intend(object_id, {"delete": copy.hex})
        async with self._noting(collection, object_id, "delete", remote_id, copy):
            await self.client.delete(collection.name, remote_id)
        await self.unsettled()
        found = await self._read(collection, remote_id)
        if found is None or not await remote.not_taken(object_id, [remote_id]):
            await remote.forget(object_id, copy, answered=True)
            return True
        await self._require_forgetful()
        await remote.acknowledge(object_id, remote_id, None)
        await remote.miss(object_id, remote_id)
        return False

    async def _is_ours(self, remote: Remote, object_id: str, known: Known, copy: UUID) -> bool:
        """Whether what is under the id is our copy still, after a deletion that got no answer."""
        if known.lost_deletion in (None, copy.hex):
            return True
        return copy in await remote.fingerprints(object_id)  # an update without an answer has come late

    async def _fingerprint_of(self, collection: Collection, remote_id: str) -> UUID | None:
        """That of what is under this id at the provider; None for nothing."""
        found = await self._read(collection, remote_id)
        return fingerprint(collection, projection(collection, found)) if found else None

    async def _read(self, collection: Collection, remote_id: str) -> Body | None:
        """What is under this id at the provider. Raises Garbled for an answer without any of the object's fields."""
        found = await self.client.get(collection.name, remote_id)
        if found is not None and not any(name in found for name in collection.remote_names):
            raise Garbled(f"{collection.name} {remote_id} without its fields")
        return found

    @asynccontextmanager
    async def _noting(
        self, collection: Collection, object_id: str, kind: Kind, remote_id: str, mark: UUID
    ) -> AsyncIterator[None]:
        """Remembers a write that is given up without a clear answer: it may have its effect later."""
        try:
            yield
        except (ProviderError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) or error.maybe_applied:
                await self.remotes[collection.name].note_unanswered(object_id, kind, remote_id, mark)
            raise

    async def _verify(self, collection: Collection, object_id: str, remote_id: str, body: Body) -> bool:
        """Reads the copy back. That the provider cannot be read now is no failure: it is looked at again."""
        try:
            found = await self._read(collection, remote_id)
        except ProviderError:
            await self.unsettled()
            return False
        remote = self.remotes[collection.name]
        if found is None or not same(found, body):
            await remote.miss(object_id, remote_id)
            await self._require_forgetful()
            return False
        if await remote.verify(object_id, remote_id):
            await self.unsettled()
        return True

    async def _require_forgetful(self) -> None:
        """For a write that is not to be seen: raises TryAgain when the provider keeps what it says yes to."""
        async with self.pool.connection() as connection:
            if await keeps_writes(connection, self.mirror):
                raise delivery.TryAgain("the provider said yes to it and does not show it")


async def _nothing() -> None:
    """Nobody needs to know."""


def same(found: Body, body: Body) -> bool:
    """Whether a provider's object has the fields of a body. As text: some give their numbers as strings."""
    return all(is_same(found.get(name), value) for name, value in body.items())
