"""What people do with their endpoints. An endpoint and its subscription are made, changed and removed together."""

import base64
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models.functions import Now

from lockstep.api.concurrency import ANY_VERSION, Match, lock
from lockstep.api.errors import Conflict, Invalid, NotFound
from lockstep.api.sealing import seal
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.entities import Somebody
from lockstep.changes.readers import patterns_to_follow
from lockstep.delivery import operations
from lockstep.delivery.operations import NotInLog, Replayed, Selection, UnknownMessage, UnknownSubscription
from lockstep.webhooks.deliver import ENDPOINTS, TEST
from lockstep.webhooks.disabling import disable
from lockstep.webhooks.models import SECRETS, Endpoint

SECRET_BYTES = 32
MOST_OLD_SECRETS = 4  # that sign beside the new one: each has a signature in the header of every message
SWITCHED_OFF = "switched off by its owner"
OWNER_SIGNED_OUT = "switched off when its owner's password was changed"


@dataclass(frozen=True, slots=True)
class Created:
    """A new endpoint, or one with a new secret, which is shown now and never again."""

    endpoint: Endpoint
    secret: str


def create_endpoint(*, actor: str, owner: Somebody, url: str, events: Sequence[str], description: str = "") -> Created:
    """A new endpoint, told of what is committed from now on. Raises Conflict when its owner has enough of them."""
    secret = _new_secret()
    with transaction.atomic():
        # Two at once would each count without the other. Before the actor is confirmed: whatever withdraws a right of
        # the owner waits for what was confirmed, and holds this very lock.
        lock(get_user_model().objects.all(), ANY_VERSION, pk=owner.pk)
        with attributed_transaction(actor=actor):
            if Endpoint.objects.alive().of(owner).count() >= settings.WEBHOOKS_PER_USER:
                raise Conflict(f"You have {settings.WEBHOOKS_PER_USER} endpoints already. Delete one first.")
            endpoint = Endpoint.objects.create(
                owner=owner,
                url=url,
                events=list(events),
                description=description,
                secret=seal(SECRETS, secret.encode()),
            )
            _subscribe(endpoint)
    return Created(endpoint, secret)


def update_endpoint(
    *, actor: str, endpoint: Endpoint, match: Match = ANY_VERSION, active: bool | None = None, **values: object
) -> None:
    """Changes url, events, description; switches it off or on. One that is switched on starts from now.

    Raises OutOfDate.
    """
    with attributed_transaction(actor=actor):
        endpoint = _locked(endpoint, match)
        for name, value in values.items():
            setattr(endpoint, name, value)
        if values:
            endpoint.save(update_fields=list(values))
        if values or active is True:
            _subscribe(endpoint)
        if active is True and endpoint.disabled:
            _set(endpoint, disabled=None, reason="", failing_since=None)
            operations.enable(endpoint.subscription)
        if active is False and not endpoint.disabled:
            disable(endpoint, reason=SWITCHED_OFF)


def delete_endpoint(*, actor: str, endpoint: Endpoint, match: Match = ANY_VERSION) -> None:
    """It is gone with all that waits for it. Raises OutOfDate."""
    with attributed_transaction(actor=actor):
        _set(_locked(endpoint, match), deleted=Now())
        _unsubscribe(endpoint)


def delete_endpoints(owner: UUID) -> None:
    """Deletes all endpoints of an account that is deleted, with their addresses and secrets. Within its transaction."""
    for endpoint in Endpoint.objects.alive().filter(owner=owner).order_by("pk").select_for_update(no_key=True):
        _set(endpoint, deleted=Now(), url="", description="", secret=b"", old_secrets=[], old_secrets_until=[])
        _unsubscribe(endpoint)


def disable_endpoints(owner: UUID) -> None:
    """Switches all endpoints of a user off whose password is replaced. Within its transaction.

    Whoever knew the old password may have made them. Their owner switches them on again, and has what was missed
    redelivered.
    """
    rows = Endpoint.objects.alive().filter(owner=owner, disabled=None)
    for endpoint in rows.order_by("pk").select_for_update(no_key=True):
        disable(endpoint, reason=OWNER_SIGNED_OUT)


def rotate_secret(*, actor: str, endpoint: Endpoint) -> Created:
    """A new secret; the old one signs beside it for a day, so that the receiver can change over in its own time.

    So does each that was replaced within a day. Raises Conflict when MOST_OLD_SECRETS sign beside it already: none of
    them ends before its time.
    """
    secret = _new_secret()
    with attributed_transaction(actor=actor):
        endpoint = _locked(endpoint)
        now = _now()
        old = _old_secrets(endpoint, now)
        if len(old) >= MOST_OLD_SECRETS:
            raise Conflict(
                f"{len(old)} old secrets of this endpoint are still valid. The next one ends at "
                f"{min(until for _, until in old).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}; rotate again then."
            )
        old.append((bytes(endpoint.secret), now + timedelta(hours=settings.WEBHOOK_OVERLAP_HOURS)))
        _set(
            endpoint,
            secret=seal(SECRETS, secret.encode()),
            old_secrets=[sealed for sealed, _ in old],
            old_secrets_until=[until for _, until in old],
        )
    endpoint.refresh_from_db()
    return Created(endpoint, secret)


def _old_secrets(endpoint: Endpoint, now: datetime) -> list[tuple[bytes, datetime]]:
    """Those that are still valid, with their ends."""
    pairs = zip(endpoint.old_secrets, endpoint.old_secrets_until, strict=True)
    return [(bytes(sealed), until) for sealed, until in pairs if until > now]


def _now() -> datetime:
    """The database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        moment: datetime = cursor.fetchone()[0]
        return moment


def send_test(*, actor: str, endpoint: Endpoint) -> None:
    """Sends a made-up event through all that a real one goes through. Raises Conflict when it is disabled."""
    with _sending(actor, endpoint):
        after = {"endpoint": str(endpoint.id), "message": "This is a test."}
        operations.send(endpoint.subscription, model=TEST, object_id=str(endpoint.id), after=after)


def redeliver_message(*, actor: str, endpoint: Endpoint, message_id: UUID) -> Replayed:
    """Sends one message again under the same id. Raises NotFound, Conflict."""
    with _sending(actor, endpoint):
        try:
            return operations.replay_message(endpoint.subscription, message_id)
        except (UnknownMessage, NotInLog) as error:
            raise NotFound(str(error)) from error


def redeliver_dead_letters(*, actor: str, endpoint: Endpoint) -> Replayed:
    """Sends all that was given up again. Raises Conflict when it is disabled."""
    with _sending(actor, endpoint):
        return operations.replay_letters(Selection(endpoint.subscription))


def redeliver_span(*, actor: str, endpoint: Endpoint, since: datetime, until: datetime | None) -> Replayed:
    """Sends all changes of a time again, delivered or not; of no time before the endpoint was made.

    It would read the histories of what had been deleted by then. How many changes there are is not told: most may be of
    objects that the owner may not read. Raises Conflict when it is disabled, and Invalid for a time before it was made.
    """
    with _sending(actor, endpoint):
        since = max(since, endpoint.created)
        if until is not None and until <= since:
            raise Invalid({"until": "Must be later than the creation of the endpoint: nothing was sent before it."})
        return operations.replay_span(Selection(endpoint.subscription, since=since, until=until))


def _locked(endpoint: Endpoint, match: Match = ANY_VERSION) -> Endpoint:
    return lock(Endpoint.objects.alive().of(endpoint.owner_id), match, pk=endpoint.pk)


@contextmanager
def _sending(actor: str, endpoint: Endpoint) -> Iterator[None]:
    """A transaction that sends something to an endpoint, which is locked. Raises Conflict for one that is disabled."""
    with attributed_transaction(actor=actor):
        if _locked(endpoint).disabled:
            raise Conflict('The endpoint is disabled. Switch it on first: PATCH {"active": true}.')
        try:
            yield
        except UnknownSubscription as error:
            lost = 'Its subscription was removed by an operator. Make it anew: PATCH {"active": true}.'
            raise Conflict(lost) from error


def _set(endpoint: Endpoint, **values: Any) -> None:  # noqa: ANN401 - columns
    Endpoint.objects.filter(pk=endpoint.pk).update(**values)


def _unsubscribe(endpoint: Endpoint) -> None:
    with suppress(UnknownSubscription):  # somebody removed it: that is what is asked for
        operations.unsubscribe(endpoint.subscription)


def _subscribe(endpoint: Endpoint) -> None:
    operations.subscribe(ENDPOINTS.member(endpoint.subscription), follows=patterns_to_follow(endpoint.events))


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
