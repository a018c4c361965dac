"""Shapes of endpoints and of what is asked of them."""

import re
from collections.abc import Sequence
from typing import Any

import httpx
from django.conf import settings
from rest_framework import serializers

from lockstep.api import fields
from lockstep.api.serializers import StrictSerializer
from lockstep.changes.readers import event_types, names
from lockstep.delivery.destinations.addresses import ForbiddenAddress, check_addresses
from lockstep.delivery.destinations.resolving import numeric_addresses
from lockstep.delivery.models import Attempt
from lockstep.webhooks.models import Endpoint

HOST = re.compile(rb"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")  # a name as DNS has it, or IPv6


class WebhookURL(fields.Text):
    """An absolute URL: https, or http in development; no credentials; no address that webhooks may not reach.

    A name is looked up when it is used, at every attempt.
    """

    composes = False  # the receiver may know its path in another form

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_length=2_000, **options)

    def to_internal_value(self, data: Any) -> str:  # noqa: ANN401 - REST framework's signature
        text = super().to_internal_value(data)
        try:
            url = httpx.URL(text)
            host = url.host
        except (httpx.InvalidURL, UnicodeError) as error:
            raise serializers.ValidationError("Must be a valid URL.") from error
        schemes = ("https", "http") if settings.DEBUG else ("https",)
        if (
            url.scheme not in schemes
            or not HOST.fullmatch(url.raw_host)
            or not 0 < (443 if url.port is None else url.port) < 65_536
        ):
            raise serializers.ValidationError(f"Must be an absolute URL that begins with {schemes[0]}://.")
        if "#" in text:
            raise serializers.ValidationError("Must not have a fragment: it would never be sent.")
        if url.userinfo:
            raise serializers.ValidationError("Must not have a user or password: the signature says who is calling.")
        if numeric := numeric_addresses(host):
            self._check(host, numeric)
        return str(url)

    def _check(self, host: str, addresses: Sequence[str]) -> None:
        try:
            check_addresses(host, addresses, settings.WEBHOOK_ALLOW_NETWORKS)
        except ForbiddenAddress as error:
            hint = " WEBHOOK_ALLOW_NETWORKS opens a private network." if settings.DEBUG else ""
            raise serializers.ValidationError(f"{error}.{hint}") from error


class EndpointSerializer(StrictSerializer):
    """A webhook endpoint: a URL and the events that are sent to it."""

    id = serializers.UUIDField(read_only=True)
    url = WebhookURL()
    events = serializers.ListField(
        child=fields.Text(max_length=200),
        min_length=1,
        max_length=50,
        help_text="Patterns of types: `posts.post.created`, `posts.post.*`, `posts.*` or `*`.",
    )
    description = fields.Text(max_length=500, allow_blank=True, required=False)
    active = fields.Boolean(required=False)
    reason = serializers.CharField(read_only=True, help_text="Why it is switched off; empty while it is on.")
    failing_since = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="The first failure since the last success."
    )
    created = serializers.DateTimeField(read_only=True)
    updated = serializers.DateTimeField(read_only=True)
    example = {
        "id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
        "url": "https://example.com/hook",
        "events": ["posts.post.*"],
        "description": "The search index.",
        "active": True,
        "reason": "",
        "failing_since": None,
        "created": "2026-01-31T12:00:00Z",
        "updated": "2026-01-31T12:00:00Z",
    }

    def validate_events(self, patterns: list[str]) -> list[str]:
        """Each must take some type that this user may ever see."""
        types = event_types(is_staff=self.context["user"].is_staff)
        known = set().union(*(names(event_type) for event_type in types)) if types else set()
        if unknown := [pattern for pattern in patterns if pattern not in known]:
            raise serializers.ValidationError(
                f"Nothing that you may see is called {unknown[0]!r}. There are: {', '.join(types)}; "
                "<app>.<model>.*, <app>.* and * take several."
            )
        return sorted(set(patterns))


class EndpointWithSecretSerializer(EndpointSerializer):
    """An endpoint with its signing secret, which only this response has."""

    secret = serializers.CharField(read_only=True)
    example = {**EndpointSerializer.example, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}


class RedeliverSerializer(StrictSerializer):
    """The messages to send again: one of message_id, dead_letters and since."""

    message_id = fields.Uuid(required=False)
    dead_letters = fields.Boolean(required=False)
    since = fields.Moment(required=False, help_text="A time before the endpoint was created counts as that.")
    until = fields.Moment(required=False, help_text="Only with `since`; the default is now.")
    example = {"dead_letters": True}

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """One way of choosing, not two."""
        chosen = [name for name in ("message_id", "dead_letters", "since") if given.get(name)]
        if len(chosen) != 1 or ("until" in given and chosen != ["since"]):
            raise serializers.ValidationError(
                "Send one of message_id, dead_letters (true) and since; until only with since."
            )
        if "until" in given and given["until"] <= given["since"]:
            raise serializers.ValidationError({"until": "Must be later than since: nothing lies between them."})
        return given


class OnItsWaySerializer(serializers.Serializer[Any]):
    """The confirmation that messages will be sent.

    It does not say how many: the changes of a period are chosen before it is known which of them you may read.
    """

    detail = serializers.CharField()
    example = {"detail": "The test event is on its way; see attempts."}


class NothingToSendSerializer(serializers.Serializer[Any]):
    """Nothing is sent: no message of the endpoint is put aside."""

    detail = serializers.CharField()
    example = {"detail": "No message of this endpoint is put aside. Nothing is sent."}


class AttemptSerializer(serializers.Serializer[Any]):
    """One attempt to deliver a message: the request, the response and the duration."""

    id = serializers.UUIDField()
    message_id = serializers.UUIDField(help_text="The value of the header `webhook-id`.")
    type = serializers.CharField(help_text="The type of the event.")
    number = serializers.IntegerField(help_text="1 for the first attempt.")
    at = serializers.DateTimeField()
    seconds = serializers.FloatField()
    delivered = serializers.BooleanField()
    cause = serializers.CharField(allow_null=True, help_text="Why it failed; null if it succeeded.")
    status = serializers.IntegerField(allow_null=True, help_text="The status of the response, if there was one.")
    request_headers = serializers.DictField(child=serializers.CharField(), allow_null=True)
    response_headers = serializers.DictField(child=serializers.CharField(), allow_null=True)
    response = serializers.CharField(allow_null=True, help_text="The beginning of the response body.")
    example = {
        "id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2c",
        "message_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "type": "posts.post.created",
        "number": 1,
        "at": "2026-01-31T12:00:00Z",
        "seconds": 0.042,
        "delivered": True,
        "cause": None,
        "status": 204,
        "request_headers": {"Content-Type": "application/json"},
        "response_headers": {},
        "response": "",
    }


def shown(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as its owner sees it; never its secrets."""
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "active": endpoint.disabled is None,
        "reason": endpoint.reason,
        "failing_since": endpoint.failing_since,
        "created": endpoint.created,
        "updated": endpoint.updated,
    }


def shown_attempt(attempt: Attempt) -> dict[str, Any]:
    """One try: what was sent, what came back, how long it took. Signatures are redacted."""
    receipt = attempt.receipt or {}
    return {
        "id": attempt.id,
        "message_id": attempt.message_id,
        "type": receipt.get("type", f"{attempt.model}.{attempt.kind}"),  # as it was sent (readers.py)
        "number": attempt.number,
        "at": attempt.began,
        "seconds": round(attempt.seconds, 3),
        "delivered": attempt.failure is None,
        "cause": attempt.cause,
        "status": receipt.get("status"),
        "request_headers": receipt.get("request_headers"),
        "response_headers": receipt.get("response_headers"),
        "response": receipt.get("response"),
    }
