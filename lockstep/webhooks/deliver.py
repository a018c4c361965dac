"""From a claim to somebody's URL: who it is for, whether they may see it, how it went."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections

from lockstep.api.sealing import Unreadable, unseal
from lockstep.changes.readers import names, readable_part, sight
from lockstep.changes.sql_file import load
from lockstep.delivery.destinations.webhook import Destination, Gone, WebhookSender, body_of, webhook_sender
from lockstep.delivery.errors import DeliveryError, TryAgain
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.subscriptions import Claim, Family, Handler, Pool, Receipt, Subscriber
from lockstep.webhooks.disabling import give_up
from lockstep.webhooks.models import FAMILY, SECRETS, Endpoint

SQL = load(Path(__file__).parent / "sql" / "endpoints.sql")
KNOWN_SECONDS = 1.0  # how long an endpoint is remembered: what its owner changes holds within a second
ORIGIN = "webhooks"  # of what is sent to one endpoint alone
TEST = "webhooks.test"


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """An endpoint as it was a moment ago."""

    destination: Destination
    failing: bool
    owner: str
    is_staff: bool
    events: list[str]

    def readable(self, claim: Claim) -> Claim | None:
        """The claim with the part of its change that the owner may read now, where the endpoint follows that.

        It is decided at every attempt: rights go, and what they gave access to goes with them.
        """
        change = claim.change
        if change.model == TEST:
            return claim  # it was sent to this endpoint alone
        part = readable_part(
            change.model, change.kind, change.before, change.after, user_id=self.owner, is_staff=self.is_staff
        )
        if part is None or names(f"{change.model}.{part.kind}").isdisjoint(self.events):
            return None
        return replace(claim, change=replace(change, kind=part.kind, before=part.before, after=part.after))


class EndpointHandler:
    """Delivers to one endpoint."""

    def __init__(self, key: UUID, sender: WebhookSender, pool: Pool) -> None:
        self.key = key
        self.sender = sender
        self.pool = pool
        self._known: _Endpoint | None = None
        self._until = 0.0

    async def deliver(self, claim: Claim) -> Receipt | None:
        """Sends what the endpoint's owner may see; the rest, and all for an endpoint that is gone, is done with."""
        endpoint = await self._endpoint()
        readable = endpoint and endpoint.readable(claim)
        if not endpoint or not readable or not await self._is_in_sight(endpoint, readable):
            return None
        sent_as = {"type": f"{readable.change.model}.{readable.change.kind}"}
        try:
            receipt = await self.sender.send(endpoint.destination, claim.message_id, body_of(readable))
        except DeliveryError as error:
            error.receipt = (error.receipt or {}) | sent_as
            await self._failed(claim, error)
            raise
        if endpoint.failing:
            await self._answered()
        return receipt | sent_as

    async def _endpoint(self) -> _Endpoint | None:
        if time.monotonic() >= self._until:
            self._known = await self._load()
            self._until = time.monotonic() + KNOWN_SECONDS
        return self._known

    async def _load(self) -> _Endpoint | None:
        users = get_user_model()._meta.db_table
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SQL["endpoint"].replace("{users}", users), {"id": self.key})
            row = await cursor.fetchone()
        if row is None:
            return None
        url, secret, old_secret, failing, owner, is_staff, events = row
        try:
            secrets = tuple(unseal(SECRETS, sealed).decode() for sealed in (secret, old_secret) if sealed)
        except Unreadable as error:
            raise TryAgain(f"its secret cannot be read: {error}; rotate it") from error
        return _Endpoint(Destination(url, secrets), failing, owner, is_staff, events)

    async def _is_in_sight(self, endpoint: _Endpoint, claim: Claim) -> bool:
        """Whether the owner may see the row that the change shows as it is now.

        A message may be sent long after its change, and again: what is out of sight by then is not shown any more.
        """
        visibility = sight(claim.change.model, is_staff=endpoint.is_staff)
        if visibility is None or claim.change.after is None:
            return True
        table = apps.get_model(claim.change.model)._meta.db_table
        statement = SQL["in_sight"].format(table=table, column=visibility.column, owner=visibility.owner)
        parameters = {"key": claim.change.object_id, "value": visibility.value, "user": endpoint.owner}
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchone() is not None

    async def _answered(self) -> None:
        self._until = 0.0
        async with self.pool.connection() as connection:
            await connection.execute(SQL["answered"], {"id": self.key})

    async def _failed(self, claim: Claim, error: DeliveryError) -> None:
        self._until = 0.0
        patience = timedelta(days=settings.WEBHOOK_PATIENCE_DAYS)
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SQL["failed"], {"id": self.key, "patience": patience})
            row = await cursor.fetchone()
        if isinstance(error, Gone):
            await self._give_up(Outcome(claim, error), str(error))
        elif row and row[0]:
            last = f"failed for {settings.WEBHOOK_PATIENCE_DAYS} days; the last time: {error}"
            await self._give_up(Outcome(claim, error), last)

    async def _give_up(self, outcome: Outcome, reason: str) -> None:
        def in_thread() -> None:
            try:
                give_up(self.key, outcome, reason=reason)
            finally:
                connections.close_all()  # its thread is not coming back

        await sync_to_async(in_thread, thread_sensitive=False)()


def member(name: str) -> Subscriber:
    """The subscriber of one endpoint, by the name of its subscription."""
    key = UUID(name.removeprefix(f"{FAMILY}:"))

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        async with webhook_sender(
            concurrency=settings.WEBHOOK_CONCURRENCY,
            deadline=settings.WEBHOOK_DEADLINE,
            opened=settings.WEBHOOK_ALLOW_NETWORKS,
        ) as sender:
            yield EndpointHandler(key, sender, pool).deliver

    return Subscriber(
        name=name,
        kind="event",
        models=(),
        connect=connect,
        skip_origin=ORIGIN,
        concurrency=settings.WEBHOOK_CONCURRENCY,
        deadline=settings.WEBHOOK_DEADLINE + 5.0,  # the sender's own comes first, and tells more
        cap=settings.WEBHOOK_CAP,
        recorded=True,
    )


def owner(key: str) -> str | None:
    """What the subscription with this key belongs to, while its endpoint exists."""
    try:
        endpoint = Endpoint.objects.alive().filter(pk=UUID(key)).first()
    except ValueError:
        return None
    return f"a webhook endpoint (/api/v1/webhooks/{endpoint.pk}/)" if endpoint else None


ENDPOINTS = Family(FAMILY, member, owner, models=(TEST,))
