"""Serializers of endpoints, their actions and their attempts."""

import re
from collections.abc import Sequence
from typing import Any

import httpx
from django.conf import settings
from rest_framework import serializers

from lockstep.changes.readers import event_types, known_patterns
from lockstep.conf import lockstep_settings, networks
from lockstep.delivery.destinations.addresses import ForbiddenAddress, check_addresses
from lockstep.delivery.destinations.resolving import numeric_addresses
from lockstep.delivery.models import Attempt
from lockstep.rest import fields
from lockstep.rest.serializers import StrictSerializer
from lockstep.webhooks.models import Endpoint

HOST = re.compile(rb"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")  # a DNS name or an IPv6 address


class WebhookURL(fields.Text):
    """An absolute URL: https, or http in development; without credentials or a forbidden IP address.

    Host names are resolved at every attempt.
    """

    composes = False  # the receiver's path may not be in NFC

    def __init__(self, **options: object) -> None:
        super().__init__(max_length=2_000, **options)

    def to_internal_value(self, data: object) -> str:
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
            raise serializers.ValidationError("Must not have a user or password: messages are signed instead.")
        if numeric := numeric_addresses(host):
            self._check(host, numeric)
        return str(url)

    def _check(self, host: str, addresses: Sequence[str]) -> None:
        try:
            check_addresses(host, addresses, networks(lockstep_settings.WEBHOOK_ALLOW_NETWORKS))
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
        """Raises ValidationError for patterns without an event type that the user may see."""
        is_staff = bool(getattr(self.context["user"], "is_staff", False))
        known = known_patterns(is_staff=is_staff)
        if unknown := [pattern for pattern in patterns if pattern not in known]:
            types = ", ".join(event_types(is_staff=is_staff))
            raise serializers.ValidationError(
                f"No event type that you may see matches {unknown[0]!r}. Event types: {types}; "
                "<app>.<model>.*, <app>.* and * match several."
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

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raises ValidationError unless there is exactly one selection."""
        chosen = [name for name in ("message_id", "dead_letters", "since") if attrs.get(name)]
        if len(chosen) != 1 or ("until" in attrs and chosen != ["since"]):
            raise serializers.ValidationError(
                "Send one of message_id, dead_letters (true) and since; until only with since."
            )
        if "until" in attrs and attrs["until"] <= attrs["since"]:
            raise serializers.ValidationError({"until": "Must be later than since: nothing lies between them."})
        return attrs


class OnItsWaySerializer(serializers.Serializer[object]):
    """The confirmation that messages will be sent.

    It does not say how many: the changes of a period are chosen before it is known which of them you may read.
    """

    detail = serializers.CharField()
    example = {"detail": "The test event will be sent; see attempts."}


class NothingToSendSerializer(serializers.Serializer[object]):
    """The confirmation that no message will be sent."""

    detail = serializers.CharField()
    example = {"detail": "The endpoint has no dead letters. Nothing is sent."}


class AttemptSerializer(serializers.Serializer[object]):
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


def serialize_endpoint(endpoint: Endpoint) -> dict[str, object]:
    """The representation of an endpoint, without its secrets."""
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


def serialize_attempt(attempt: Attempt) -> dict[str, object]:
    """The representation of an attempt, without signatures."""
    receipt = attempt.receipt or {}
    return {
        "id": attempt.id,
        "message_id": attempt.message_id,
        "type": receipt.get("type"),  # as it was sent (readers.py)
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
