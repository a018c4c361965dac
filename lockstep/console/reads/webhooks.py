"""Reads of webhook endpoints, with the state of their subscriptions, and of their attempts.

The secrets of endpoints are never read. The path of a receiver's URL is often a secret as well: who does not own an
endpoint reads the origin of its URL alone, and what the receiver answered without the path.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from urllib.parse import unquote, unquote_plus, urlsplit
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import F, Func, Q, TextField, Value
from django.utils import timezone

from lockstep.changes.commands import counted
from lockstep.conf import lockstep_settings
from lockstep.console.words import clock
from lockstep.delivery.models import Attempt, Subscription
from lockstep.rest.actors import key_of
from lockstep.rest.users import AnyUser
from lockstep.webhooks.deliver import URL_HASH, url_hash
from lockstep.webhooks.models import FAMILY, Endpoint, EndpointQuerySet
from lockstep.webhooks.serializers import serialize_attempt

SECRETS = ("secret", "old_secrets", "old_secrets_until")  # columns
HOST = r"^[a-z]+://([^/?#]*)"
MIN_SECRET = 8  # characters of a part of a path that is taken for a secret
REDACTED = "[redacted]"
STATES = {
    "on": Q(disabled=None),
    "failing": Q(disabled=None, failing_since__isnull=False),
    "off": Q(disabled__isnull=False),
}


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint, its subscription (None where that was removed), and its URL as the reader may see it."""

    endpoint: Endpoint
    subscription: Subscription | None
    url: str

    @property
    def verdict(self) -> str:
        """Its state in one or two words."""
        if self.endpoint.disabled:
            return "off"
        if self.subscription is None:
            return "lost"
        if self.subscription.state != "active":
            return {"full": "at the cap"}.get(self.subscription.state, self.subscription.state)
        if self.subscription.silent_since:
            return "does not answer"
        return "failing" if self.endpoint.failing_since else "on"

    @property
    def is_good(self) -> bool:
        """Whether its messages are sent and taken."""
        return self.verdict == "on"

    @property
    def sentences(self) -> list[str]:
        """Why it is in its state, and what becomes of it. What waits is not told: owners may not read all of it."""
        return list(_condition(self.endpoint, self.subscription, timezone.now()))


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt: its object, and what the API shows of it."""

    model: str
    object_id: str
    shown: Mapping[str, object]


def endpoints() -> EndpointQuerySet:
    """Endpoints that are not deleted, without their secrets."""
    return Endpoint.objects.alive().defer(*SECRETS)


def rows_of(found: Sequence[Endpoint], *, shows_urls: bool) -> list[EndpointRow]:
    """The endpoints with their subscriptions: one query."""
    names = [endpoint.subscription for endpoint in found]
    subscriptions = Subscription.objects.using(lockstep_settings.DATABASE).in_bulk(names) if names else {}
    return [
        EndpointRow(
            endpoint,
            subscriptions.get(endpoint.subscription),
            endpoint.url if shows_urls else origin_of(endpoint.url),
        )
        for endpoint in found
    ]


def chosen_endpoints(
    rows: EndpointQuerySet, *, owner: str = "", host: str = "", state: str = "", before: UUID | None = None
) -> EndpointQuerySet:
    """Those of these endpoints that match, newest first. `owner` is a username or a key, `host` a part of the host."""
    if owner:
        rows = rows.filter(owner__in=_users(owner))
    if host:
        own = Func(F("url"), Value(HOST), function="substring", output_field=TextField())
        rows = rows.alias(host=own).filter(host__icontains=host)
    if state:
        rows = rows.filter(STATES[state])
    if before:
        rows = rows.filter(pk__lt=before)
    return rows.order_by("-pk")


def attempts_of(
    endpoint: Endpoint, *, shows_urls: bool, before: UUID | None, is_failed: bool, limit: int
) -> list[AttemptRow]:
    """Attempts of the last days, newest first, as the API lists them."""
    attempts = Attempt.objects.using(lockstep_settings.DATABASE)
    rows = attempts.filter(subscription_id=endpoint.subscription, receipt__has_key="type")
    if is_failed:
        rows = rows.filter(failure__isnull=False)
    if before:
        rows = rows.filter(pk__lt=before)
    return [
        AttemptRow(
            attempt.model,
            attempt.object_id,
            serialize_attempt(attempt)
            if shows_urls
            else _redacted(serialize_attempt(attempt), endpoint.url, _sent_to(attempt.receipt)),
        )
        for attempt in rows.order_by("-pk")[:limit]
    ]


def last_attempt(endpoint: Endpoint, message: UUID) -> Attempt | None:
    """The latest attempt to send this message to the endpoint."""
    attempts = Attempt.objects.using(lockstep_settings.DATABASE).filter(message_id=message)
    return attempts.filter(subscription_id=endpoint.subscription, receipt__has_key="type").order_by("-pk").first()


def origin_of(url: str) -> str:
    """The scheme and host of a URL, and an ellipsis where it goes on."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{'/…' if parts.path.strip('/') or parts.query else ''}"


def receipts_for_operators(subscription: str, receipts: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The receipts of attempts of an endpoint as others than its owner may see them; those of others unchanged."""
    family, _, member = subscription.partition(":")
    if family != FAMILY:
        return list(receipts)
    url = endpoints().filter(pk=UUID(member)).values_list("url", flat=True).first() or ""
    return [_redacted(receipt, url, _sent_to(receipt)) for receipt in receipts]


def _sent_to(receipt: Mapping[str, object] | None) -> object:
    return (receipt or {}).get(URL_HASH)


def _redacted(shown: Mapping[str, object], url: str, sent_to: object) -> Mapping[str, object]:
    """An attempt or its receipt without the path of the URL, which receivers repeat in what they answer.

    What was sent to an earlier URL has no response at all, nor has that of a deleted endpoint: it may repeat what is
    no longer known.
    """
    found = {name: value for name, value in shown.items() if name != URL_HASH}
    headers = shown.get("response_headers")
    if not url or sent_to not in (None, url_hash(url)):
        return found | {name: None for name in ("response", "response_headers") if name in shown}
    if response := shown.get("response"):
        found["response"] = _without_path(str(response), url)
    if isinstance(headers, Mapping):
        found["response_headers"] = {name: _without_path(str(value), url) for name, value in headers.items()}
    return found


def _without_path(text: str, url: str) -> str:
    secrets = sorted(_secrets_of(url), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, secrets)), REDACTED, text, flags=re.IGNORECASE) if secrets else text


def _secrets_of(url: str) -> set[str]:
    """The path and query of a URL and their parts, also as they are decoded, and written in JSON and in HTML."""
    parts = urlsplit(url)
    pieces = {*parts.path.split("/"), *parts.query.split("&")}
    pieces |= {value for piece in pieces for value in piece.split("=", 1)[1:]}
    found = {parts.path, parts.query} | {piece for piece in pieces if len(piece) >= MIN_SECRET}
    found |= {unquote(text) for text in found} | {unquote_plus(text) for text in found}
    found |= {text.replace("/", "\\/") for text in found} | {escape(text) for text in found}
    return found - {"", "/", "\\/"}


def _users(text: str) -> list[AnyUser]:
    """The users with this username or key."""
    model = get_user_model()
    which = Q(**{model.USERNAME_FIELD: text})
    if (key := key_of(f"user:{text}")) is not None:
        which |= Q(pk=key)
    return list(model._default_manager.filter(which).order_by())


def _condition(endpoint: Endpoint, subscription: Subscription | None, now: datetime) -> Iterator[str]:
    if endpoint.disabled:
        yield f"Off since {clock(endpoint.disabled, now)}: {endpoint.reason.rstrip('. ')}."
        yield "Nothing is kept for it. When it is switched on, it gets what changes from then on."
        return
    if subscription is None:
        yield "Its subscription was removed by an operator: nothing is sent until it is switched on anew."
        return
    if subscription.state == "paused":
        yield "Paused by an operator: its messages wait."
    elif subscription.state == "full":
        yield "Too many messages wait for it: no more are taken until half of them are delivered."
    if endpoint.failing_since:
        days = counted(lockstep_settings.WEBHOOK_PATIENCE_DAYS, "day")
        yield f"It takes nothing since {clock(endpoint.failing_since, now)}: after {days} of that it is switched off."
    elif subscription.state == "active":
        yield "Changes are sent as they happen."
