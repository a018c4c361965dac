"""The push of one object, which makes the provider's copy equal to ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import orjson

from lockstep.delivery import errors as delivery
from lockstep.delivery.subscriptions import Claim, Skipped
from lockstep.http.errors import MalformedResponse, NotFound, ProviderError
from lockstep.http.json_text import integer_of, is_same
from lockstep.mirror.collections import Body, Client, Collection, Mirror
from lockstep.mirror.failures import provider_errors_as_delivery_errors
from lockstep.mirror.remote import Kind, Pool, Remote, RemoteState, fingerprint, keeps_writes, projection

Unsettled = Callable[[], Awaitable[None]]

MAX_BODY_BYTES = 4 * 1024 * 1024  # a client reads elements of a list up to twice that
MAX_LOOK_UP = 200  # characters of a field in a query; longer fields are compared here


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
        never_sent = (
            change.after is None and await self.remotes[collection.name].find(change.object_id) == RemoteState()
        )
        await self.push(collection, change.object_id, change.after, str(claim.message_id))
        return Skipped("the provider never had it") if never_sent else None

    async def push(self, collection: Collection, object_id: str, row: Body | None, key: str | None = None) -> bool:
        """Creates, updates or deletes the copy; `row` has the captured columns, None for a deleted object.

        Returns whether the copy was verified afterwards; False if the provider does not persist writes, or could not be
        read. Raises delivery errors. Idempotent.
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
        """The row with the provider's field names. Raises DependencyPending while the provider lacks the parent."""
        body = {field.remote: row[field.column] for field in collection.fields}
        if parent := collection.parent:
            remote_id = await self.remotes[parent.collection].remote_id_of_parent(str(row[parent.column]))
            if remote_id is None:
                raise delivery.DependencyPending(f"its parent in {parent.collection} is not at the provider yet")
            body[parent.remote] = int(remote_id) if remote_id.isdigit() else remote_id
        if (size := len(orjson.dumps(body))) > MAX_BODY_BYTES:
            raise delivery.Rejected(
                f"{size:,} bytes exceed the limit of {MAX_BODY_BYTES:,}: a list with it could not be read"
            )
        return body

    async def _update(self, collection: Collection, object_id: str, known: RemoteState, body: Body) -> str | None:
        """Updates the copy and returns its id; None if there is no copy, or it was deleted at the provider.

        Raises RetryLater if the id was assigned to another object of ours meanwhile, which is then pushed again, too.
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
            await remote.unlink(object_id, remote_id)
            return None
        if not await remote.acknowledge_update(object_id, remote_id, body):
            await self.unsettled()
            raise delivery.RetryLater(f"its id {remote_id} has been given to another object")
        return remote_id

    async def _create(
        self, collection: Collection, object_id: str, known: RemoteState, body: Body, key: str | None
    ) -> str:
        """Sends the creation once. Returns the new copy's id.

        After a lost response the intent stays, and the next attempt looks the copy up first.
        """
        remote = self.remotes[collection.name]
        sent = await remote.begin_creation(object_id, body)
        try:
            remote_id = await self.client.create(collection.name, body, idempotency_key=key)
        except ProviderError as error:
            if not error.outcome_unknown:
                await remote.withdraw_creation(object_id, sent)
            raise
        another_lost_it = await remote.acknowledge(object_id, remote_id, body, sent)
        children_refer_elsewhere = known.remote_id not in (None, remote_id)
        if another_lost_it or children_refer_elsewhere:
            await self.unsettled()
        return remote_id

    async def _look_up(self, collection: Collection, object_id: str, sent: Body) -> str | None:
        """The copy that a creation without a response has made, if any.

        Raises Rejected for an unusable id: another creation would only make another such copy.
        """
        fields = {name: sent[name] for name in collection.look_up if len(str(sent[name])) <= MAX_LOOK_UP}
        found = await self.client.find(collection.name, fields)
        copies = [candidate for candidate in found if same(candidate, sent)]
        ids = [str(number) for copy in copies if (number := integer_of(copy.get("id"))) is not None]
        if copies and not ids:
            raise delivery.Rejected("the provider gave its copy an id that cannot be used")
        for remote_id in reversed(ids):
            if await self.remotes[collection.name].take(object_id, remote_id):
                return remote_id
        return None

    async def _delete(self, collection: Collection, object_id: str, known: RemoteState) -> bool:
        """Deletes the copy, whose fingerprint is recorded as the intent.

        Providers reuse the ids of deleted objects. So after a deletion without a response, an object under the id with
        another fingerprint is not our copy.
        """
        remote, remote_id = self.remotes[collection.name], known.remote_id
        if remote_id is None and known.lost_creation:
            remote_id = await self._look_up(collection, object_id, known.lost_creation)
        if remote_id is None:
            await remote.forget(object_id)
            return True
        found = await self._read(collection, remote_id)
        copy = fingerprint(collection, projection(collection, found)) if found else None
        if copy is None or not await self._is_ours(remote, object_id, known, copy):
            await self.unsettled()
            await remote.forget(object_id)
            return True
        await remote.record_intent(object_id, {"delete": copy.hex})
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

    async def _is_ours(self, remote: Remote, object_id: str, known: RemoteState, copy: UUID) -> bool:
        """Whether the object under the id is still our copy, after a deletion without a response."""
        if known.lost_deletion in (None, copy.hex):
            return True
        return copy in await remote.fingerprints(object_id)  # an update without a response has come late

    async def _read(self, collection: Collection, remote_id: str) -> Body | None:
        """The object with this id at the provider. Raises MalformedResponse without any of its fields."""
        found = await self.client.get(collection.name, remote_id)
        if found is not None and not any(name in found for name in collection.remote_names):
            raise MalformedResponse(f"{collection.name} {remote_id} without its fields")
        return found

    @asynccontextmanager
    async def _noting(
        self, collection: Collection, object_id: str, kind: Kind, remote_id: str, mark: UUID
    ) -> AsyncIterator[None]:
        """Records a write whose outcome is unknown: it may take effect later."""
        try:
            yield
        except (ProviderError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) or error.outcome_unknown:
                await self.remotes[collection.name].note_unanswered(object_id, kind, remote_id, mark)
            raise

    async def _verify(self, collection: Collection, object_id: str, remote_id: str, body: Body) -> bool:
        """Reads the copy back. An error of the provider is no failure: it is read again later."""
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
        """Raises RetryLater for a write that is not visible at a provider that persists writes."""
        async with self.pool.connection() as connection:
            if await keeps_writes(connection, self.mirror):
                raise delivery.RetryLater("the provider acknowledged it and does not show it")


async def _nothing() -> None:
    """The default of `unsettled`."""


def same(found: Body, body: Body) -> bool:
    """Whether a provider's object has the fields of a body, compared as text: some return numbers as strings."""
    return all(is_same(found.get(name), value) for name, value in body.items())
