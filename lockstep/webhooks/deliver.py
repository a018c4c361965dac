"""Delivery of claims to endpoints: the owner's rights, the request, and the record of failures."""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, cached_property
from uuid import UUID

import psycopg
from django.db import DatabaseError

from lockstep.changes.capture import Visibility, captured
from lockstep.changes.columns import column_of, table_of
from lockstep.changes.commands import counted
from lockstep.changes.database_errors import is_outage
from lockstep.changes.readers import matching_patterns, readable_part, sight
from lockstep.conf import lockstep_settings, networks
from lockstep.delivery.database import in_thread
from lockstep.delivery.destinations.webhook import (
    Destination,
    Gone,
    WebhookSender,
    body_of,
    event_type,
    webhook_sender,
)
from lockstep.delivery.errors import DeliveryError, Receipt, Rejected, RetryLater
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.subscriptions import Claim, Family, Handler, Pool, Skipped, Subscriber
from lockstep.rest.encryption import DecryptionFailed, decrypt
from lockstep.rest.users import user_sql
from lockstep.sql import Statement, identifier, statements
from lockstep.webhooks.disabling import give_up
from lockstep.webhooks.models import FAMILY, SECRETS, Endpoint

SQL = statements(__file__, "endpoints")
logger = logging.getLogger(__name__)

ORIGIN = "webhooks"  # of messages to one endpoint only
TEST = "webhooks.test"
URL_HASH = "url_hash"  # a member of receipts


@dataclass(frozen=True)
class _Endpoint:
    """An endpoint at the time of its reading."""

    url: str
    encrypted: tuple[bytes, ...]  # its secrets
    failing: bool
    owner: str
    is_staff: bool
    events: list[str]

    @cached_property
    def destination(self) -> Destination:
        """Its URL and secrets. Raises DecryptionFailed."""
        return Destination(self.url, tuple(decrypt(SECRETS, each).decode() for each in self.encrypted))

    def readable(self, claim: Claim) -> Claim | None:
        """The claim with the part of its change that the owner may read, if the endpoint follows it; else None.

        Decided at every attempt, because rights may be withdrawn.
        """
        change = claim.change
        if change.model == TEST:
            return claim  # sent to this endpoint only
        part = readable_part(
            change.model, change.kind, change.before, change.after, user_id=self.owner, is_staff=self.is_staff
        )
        if part is None or matching_patterns(f"{change.model}.{part.kind}").isdisjoint(self.events):
            return None
        return replace(claim, change=replace(change, kind=part.kind, before=part.before, after=part.after))


def url_hash(url: str) -> str:
    """What a receipt keeps of the URL, whose path may be a secret: whether another attempt was sent to the same one."""
    return hashlib.sha256(url.encode()).hexdigest()


class EndpointHandler:
    """Delivers to one endpoint."""

    def __init__(self, key: UUID, sender: WebhookSender, pool: Pool) -> None:
        self.key = key
        self.sender = sender
        self.pool = pool
        self._known: _Endpoint | None = None
        self._read_at = 0.0  # of time.monotonic()
        self._reading = asyncio.Lock()

    async def deliver(self, claim: Claim) -> Receipt | Skipped:
        """Sends changes that the owner may see; skips others, and all changes for a deleted or disabled endpoint.

        The receipt of each attempt whose change the owner may see has the type that is sent; only these are listed.
        """
        endpoint = await self._endpoint(claim.clock.at)
        if not endpoint:
            return Skipped("the endpoint is gone or disabled")
        readable = endpoint.readable(claim)
        if not readable or not await self._is_in_sight(endpoint, readable):
            return Skipped("the owner may not see it, or the endpoint does not follow it")
        sent_as: Receipt = {"type": event_type(readable), URL_HASH: url_hash(endpoint.url)}
        try:
            destination = endpoint.destination
        except DecryptionFailed as error:
            raise RetryLater(f"its secret cannot be decrypted: {error}; rotate it", receipt=sent_as) from error
        try:
            receipt = await self._send(endpoint, destination, readable)
        except DeliveryError as error:
            error.receipt = (error.receipt or {}) | sent_as
            await self._noting(self._failed(endpoint.url, claim, error))
            raise
        if endpoint.failing:
            await self._noting(self._answered())
        return receipt | sent_as

    async def _send(self, endpoint: _Endpoint, destination: Destination, claim: Claim) -> Receipt:
        """Sends the message. Raises RetryLater for a refusal if the endpoint was changed meanwhile."""
        try:
            return await self.sender.send(destination, claim.message_id, body_of(claim), claim.clock)
        except Rejected as refusal:
            now = await self._endpoint(time.monotonic())
            if now and (now.url, now.encrypted) != (endpoint.url, endpoint.encrypted):
                changed = f"{refusal}; the endpoint was changed meanwhile"
                raise RetryLater(changed, receipt=refusal.receipt) from refusal
            raise

    async def _endpoint(self, moment: float) -> _Endpoint | None:
        """The endpoint at this time.monotonic() or later: messages that were claimed together read it once.

        So a completed change of the endpoint applies to every message that is claimed afterwards.
        """
        async with self._reading:
            if self._read_at <= moment:
                began = time.monotonic()
                self._known = await self._load()
                self._read_at = began
            return self._known

    async def _noting(self, note: Awaitable[None]) -> None:
        """Ignores errors of the note: the receiver has responded, so the delivery itself is decided."""
        try:
            await note
        except (psycopg.Error, DatabaseError) as error:
            what = "webhook %s: its result could not be recorded: %s"
            reason = str(error).partition("\n")[0]
            logger.error(what, self.key, reason, exc_info=None if is_outage(error) else error)

    async def _load(self) -> _Endpoint | None:
        statement = user_sql(SQL["endpoint"], "owner")
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, {"id": self.key})
            row = await cursor.fetchone()
        if row is None:
            return None
        url, encrypted, failing, owner, is_staff, events = row
        return _Endpoint(url, tuple(encrypted), failing, owner, is_staff, events)

    async def _is_in_sight(self, endpoint: _Endpoint, claim: Claim) -> bool:
        """Whether the owner may see the current row of the change.

        A message may be sent long after its change, and repeatedly, when the row is no longer visible.
        """
        visibility = sight(claim.change.model, is_staff=endpoint.is_staff)
        if visibility is None or claim.change.after is None:
            return True
        statement = _in_sight(claim.change.model, visibility)
        parameters = {"key": claim.change.object_id, "value": visibility.value, "user": endpoint.owner}
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchone() is not None

    async def _answered(self) -> None:
        self._read_at = 0.0
        async with self.pool.connection() as connection:
            await connection.execute(SQL["answered"], {"id": self.key})

    async def _failed(self, url: str, claim: Claim, error: DeliveryError) -> None:
        self._read_at = 0.0
        patience = timedelta(days=lockstep_settings.WEBHOOK_PATIENCE_DAYS)
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SQL["failed"], {"id": self.key, "patience": patience})
            row = await cursor.fetchone()
        failing_since, is_too_long = row or (None, False)
        if isinstance(error, Gone):
            reason = str(error)
        elif is_too_long:
            days = counted(lockstep_settings.WEBHOOK_PATIENCE_DAYS, "day")
            reason = f"failed for {days}; the last time: {error}"
        else:
            return
        last = Outcome(claim, error)
        await in_thread(lambda: give_up(self.key, last, url=url, failing_since=failing_since, reason=reason))


@cache
def _in_sight(label: str, visibility: Visibility) -> Statement:
    """The statement for rows of this model."""
    capture = captured(label)
    model, alive = capture.model, Statement("true")
    if capture.soft_delete:
        alive = Statement("{deleted} IS NULL").with_parts(deleted=identifier(column_of(model, capture.soft_delete)))
    return SQL["in_sight"].with_parts(
        table=table_of(model),
        key=identifier(column_of(model, "pk")),
        alive=alive,
        column=identifier(column_of(model, visibility.column)),
        owner=identifier(column_of(model, visibility.owner)),
    )


def member(name: str) -> Subscriber:
    """The subscriber of one endpoint, by the name of its subscription."""
    key = UUID(name.removeprefix(f"{FAMILY}:"))

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        async with webhook_sender(
            concurrency=lockstep_settings.WEBHOOK_CONCURRENCY,
            deadline=lockstep_settings.WEBHOOK_DEADLINE,
            opened=networks(lockstep_settings.WEBHOOK_ALLOW_NETWORKS),
        ) as sender:
            yield EndpointHandler(key, sender, pool).deliver

    return Subscriber(
        name=name,
        kind="event",
        connect=connect,
        skip_origin=ORIGIN,
        concurrency=lockstep_settings.WEBHOOK_CONCURRENCY,
        # After the sender's own deadline, whose error is more specific.
        deadline=lockstep_settings.WEBHOOK_DEADLINE + 5.0,
        cap=lockstep_settings.WEBHOOK_CAP,
        recorded=True,
    )


def owner(key: str) -> str | None:
    """The endpoint of the subscription with this key, in words; None if it does not exist."""
    try:
        endpoint = Endpoint.objects.alive().filter(pk=UUID(key)).first()
    except ValueError:
        return None
    return f"a webhook endpoint, {endpoint.pk}" if endpoint else None


ENDPOINTS = Family(FAMILY, member, owner, models=(TEST,))
