"""Actions on webhook endpoints. An endpoint and its subscription are created, changed and removed together."""

import base64
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models.functions import Now

from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.readers import patterns_to_follow
from lockstep.conf import lockstep_settings
from lockstep.delivery import operations
from lockstep.delivery.models import Subscription
from lockstep.delivery.operations import NotInLog, UnknownMessage, UnknownSubscription
from lockstep.delivery.reports import ChangeFilter, ReplayResult
from lockstep.rest.concurrency import ANY_VERSION, Match, lock
from lockstep.rest.encryption import DecryptionFailed, decrypt, encrypt
from lockstep.rest.errors import Conflict, Invalid, NotFound
from lockstep.rest.users import AnyUser
from lockstep.webhooks.deliver import ENDPOINTS, TEST
from lockstep.webhooks.disabling import disable
from lockstep.webhooks.models import FAMILY, SECRETS, Endpoint

__all__ = ["delete_endpoints", "disable_endpoints", "switch_off"]

SECRET_BYTES = 32
MAX_OLD_SECRETS = 4  # each has a signature in the header of every message, beside that of the new one
SWITCHED_OFF = "switched off by its owner"
CREDENTIALS_CHANGED = "switched off when its owner's password was changed"


@dataclass(frozen=True, slots=True)
class Created:
    """A new endpoint, or one with a new secret, which only this response has."""

    endpoint: Endpoint
    secret: str


def create_endpoint(*, actor: str, owner: AnyUser, url: str, events: Sequence[str], description: str = "") -> Created:
    """Creates an endpoint for future changes. Raises Conflict at the limit of endpoints per user."""
    secret = _new_secret()
    with transaction.atomic():
        # The lock serialises the count below. Before the actor is confirmed: a withdrawal of the owner's rights holds
        # this lock while it waits for confirmed transactions.
        get_user_model()._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=owner.pk).first()
        with attributed_transaction(actor=actor):
            if Endpoint.objects.alive().of(owner).count() >= lockstep_settings.WEBHOOKS_PER_USER:
                raise Conflict(f"You have {lockstep_settings.WEBHOOKS_PER_USER} endpoints already. Delete one first.")
            endpoint = Endpoint.objects.create(
                owner=owner,
                url=url,
                events=list(events),
                description=description,
                secret=encrypt(SECRETS, secret.encode()),
            )
            _subscribe(endpoint)
    return Created(endpoint, secret)


def update_endpoint(
    *, actor: str, endpoint: Endpoint, match: Match = ANY_VERSION, active: bool | None = None, **values: object
) -> None:
    """Changes url, events and description; switches the endpoint off or on. It starts from now when switched on.

    Failures at another URL do not count any more. Raises PreconditionFailed.
    """
    with attributed_transaction(actor=actor):
        endpoint = _locked(endpoint, match)
        if values.get("url", endpoint.url) != endpoint.url:
            values["failing_since"] = None
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


def switch_off(*, actor: str, endpoint: Endpoint, reason: str) -> bool:
    """Disables an endpoint with a reason that its owner reads. Returns False for one that is disabled already."""
    with attributed_transaction(actor=actor):
        endpoint = _locked(endpoint)
        if endpoint.disabled:
            return False
        disable(endpoint, reason=reason)
        return True


def delete_endpoint(*, actor: str, endpoint: Endpoint, match: Match = ANY_VERSION) -> None:
    """Deletes an endpoint and its pending messages. Raises PreconditionFailed."""
    with attributed_transaction(actor=actor):
        _set(_locked(endpoint, match), deleted=Now())
        _unsubscribe(endpoint)


def delete_endpoints(owner: AnyUser) -> None:
    """Deletes all endpoints of a user, or of the key of one, with their URLs and secrets, within a transaction.

    For a project that keeps the row of a deleted account.
    """
    for endpoint in Endpoint.objects.alive().filter(owner=owner).order_by("pk").select_for_update(no_key=True):
        _set(endpoint, deleted=Now(), url="", description="", secret=b"", old_secrets=[], old_secrets_until=[])
        _unsubscribe(endpoint)


def disable_endpoints(owner: AnyUser) -> None:
    """Switches off all endpoints of a user, or of the key of one, within a transaction: when the password is replaced.

    An attacker with the old password may have created them. Their owner can switch them on again and redeliver.
    """
    rows = Endpoint.objects.alive().filter(owner=owner, disabled=None)
    for endpoint in rows.order_by("pk").select_for_update(no_key=True):
        disable(endpoint, reason=CREDENTIALS_CHANGED)


def remove_orphans() -> int:
    """Removes subscriptions whose endpoint is gone, as when the row of its owner was deleted. Returns their number."""
    names = Subscription.objects.filter(name__startswith=f"{FAMILY}:")
    keys = [name.removeprefix(f"{FAMILY}:") for name in names.values_list("name", flat=True)]
    alive = set(map(str, Endpoint.objects.alive().filter(pk__in=keys).values_list("pk", flat=True)))
    orphans = [key for key in keys if key not in alive]
    for key in orphans:
        with suppress(UnknownSubscription):  # removed meanwhile
            operations.unsubscribe(f"{FAMILY}:{key}")
    return len(orphans)


def rotate_secret(*, actor: str, endpoint: Endpoint) -> Created:
    """Creates a new secret. For a day the old one signs, too, so that the receiver can change over.

    So do all that were replaced within a day. Raises Conflict if MAX_OLD_SECRETS are still valid.
    """
    secret = _new_secret()
    with attributed_transaction(actor=actor):
        endpoint = _locked(endpoint)
        now = _now()
        old = _old_secrets(endpoint, now)
        if len(old) >= MAX_OLD_SECRETS:
            raise Conflict(
                f"{len(old)} old secrets of this endpoint are still valid. The next one ends at "
                f"{min(until for _, until in old).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}; rotate again then."
            )
        old.append((bytes(endpoint.secret), now + timedelta(hours=lockstep_settings.WEBHOOK_OVERLAP_HOURS)))
        _set(
            endpoint,
            secret=encrypt(SECRETS, secret.encode()),
            old_secrets=[encrypted for encrypted, _ in old],
            old_secrets_until=[until for _, until in old],
        )
    endpoint.refresh_from_db()
    return Created(endpoint, secret)


def reseal_secrets() -> tuple[int, list[UUID]]:
    """Encrypts all secrets under the current SECRET_KEY, each endpoint in a transaction of its own.

    Returns the number of endpoints, and the ids of those whose secret cannot be decrypted.
    """
    done, unreadable = 0, list[UUID]()
    for key in list(Endpoint.objects.alive().order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            endpoint = Endpoint.objects.alive().select_for_update(no_key=True).filter(pk=key).first()
            if endpoint is None:
                continue  # deleted meanwhile
            try:
                secret = _reencrypted(bytes(endpoint.secret))
                old = [(_reencrypted(encrypted), until) for encrypted, until in _old_secrets(endpoint, _now())]
            except DecryptionFailed:
                unreadable.append(endpoint.pk)
                continue
            _set(
                endpoint,
                secret=secret,
                old_secrets=[encrypted for encrypted, _ in old],
                old_secrets_until=[until for _, until in old],
            )
            done += 1
    return done, unreadable


def _reencrypted(encrypted: bytes) -> bytes:
    return encrypt(SECRETS, decrypt(SECRETS, encrypted))


def _old_secrets(endpoint: Endpoint, now: datetime) -> list[tuple[bytes, datetime]]:
    """The old secrets that are still valid, with their ends."""
    pairs = zip(endpoint.old_secrets, endpoint.old_secrets_until, strict=True)
    return [(bytes(encrypted), until) for encrypted, until in pairs if until > now]


def _now() -> datetime:
    """The database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        moment: datetime = cursor.fetchone()[0]
        return moment


def send_test(*, actor: str, endpoint: Endpoint) -> None:
    """Sends a test event like a real one. Raises Conflict for a disabled endpoint."""
    with _sending(actor, endpoint):
        after = {"endpoint": str(endpoint.id), "message": "This is a test."}
        operations.send(endpoint.subscription, model=TEST, object_id=str(endpoint.id), after=after)


def redeliver_message(*, actor: str, endpoint: Endpoint, message_id: UUID) -> ReplayResult:
    """Sends one message again under the same id. Raises NotFound, Conflict."""
    with _sending(actor, endpoint):
        try:
            return operations.replay_message(endpoint.subscription, message_id)
        except (UnknownMessage, NotInLog) as error:
            raise NotFound(str(error)) from error


def redeliver_dead_letters(*, actor: str, endpoint: Endpoint) -> ReplayResult:
    """Sends all dead letters again. Raises Conflict for a disabled endpoint."""
    with _sending(actor, endpoint):
        return operations.replay_letters(ChangeFilter(endpoint.subscription))


def redeliver_span(*, actor: str, endpoint: Endpoint, since: datetime, until: datetime | None) -> ReplayResult:
    """Sends all changes of a period again, delivered or not, but none before the creation of the endpoint.

    Older ones would reveal the history of deleted objects. The number of changes is not returned, because the owner may
    not read most of them. Raises Conflict for a disabled endpoint, and Invalid for a period before its creation.
    """
    with _sending(actor, endpoint):
        since = max(since, endpoint.created)
        if until is not None and until <= since:
            raise Invalid({"until": "Must be later than the creation of the endpoint: nothing was sent before it."})
        return operations.replay_span(ChangeFilter(endpoint.subscription, since=since, until=until))


def _locked(endpoint: Endpoint, match: Match = ANY_VERSION) -> Endpoint:
    return lock(Endpoint.objects.alive().of(endpoint.owner_id), match, pk=endpoint.pk)


@contextmanager
def _sending(actor: str, endpoint: Endpoint) -> Iterator[None]:
    """A transaction that locks an endpoint and sends messages to it. Raises Conflict for a disabled one."""
    with attributed_transaction(actor=actor):
        if _locked(endpoint).disabled:
            raise Conflict('The endpoint is disabled. Switch it on first: PATCH {"active": true}.')
        try:
            yield
        except UnknownSubscription as error:
            lost = 'Its subscription was removed by an operator. Create it again: PATCH {"active": true}.'
            raise Conflict(lost) from error


def _set(endpoint: Endpoint, **values: object) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(**values)


def _unsubscribe(endpoint: Endpoint) -> None:
    with suppress(UnknownSubscription):  # it is already removed
        operations.unsubscribe(endpoint.subscription)


def _subscribe(endpoint: Endpoint) -> None:
    operations.subscribe(ENDPOINTS.member(endpoint.subscription), follows=patterns_to_follow(endpoint.events))


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
