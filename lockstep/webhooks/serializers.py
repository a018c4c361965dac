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
            raise serializers.ValidationError("Not a URL.") from error
        schemes = ("https", "http") if settings.DEBUG else ("https",)
        if (
            url.scheme not in schemes
            or not HOST.fullmatch(url.raw_host)
            or not 0 < (443 if url.port is None else url.port) < 65_536
        ):
            raise serializers.ValidationError(f"A whole URL is needed, beginning with {schemes[0]}://.")
        if "#" in text:
            raise serializers.ValidationError("No fragment in the URL: it would never be sent.")
        if url.userinfo:
            raise serializers.ValidationError("No user or password in the URL: the signature says who is calling.")
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
    """An endpoint: who is told of what."""

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
    reason = serializers.CharField(read_only=True, help_text="Why it is switched off.")
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
    """An endpoint with the secret that its messages are signed with, shown this once."""

    secret = serializers.CharField(read_only=True)
    example = {**EndpointSerializer.example, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}


class RedeliverSerializer(StrictSerializer):
    """What to send again: one of message_id, dead_letters and since."""

    message_id = fields.Uuid(required=False)
    dead_letters = fields.Boolean(required=False)
    since = fields.Moment(required=False, help_text="An earlier time than that of the endpoint's creation is that.")
    until = fields.Moment(required=False, help_text="Together with since; until now without it.")
    example = {"dead_letters": True}

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """One way of choosing, not two."""
        chosen = [name for name in ("message_id", "dead_letters", "since") if given.get(name)]
        if len(chosen) != 1 or ("until" in given and chosen != ["since"]):
            raise serializers.ValidationError("Give message_id, or dead_letters: true, or since (and until).")
        return given


class RedeliveredSerializer(serializers.Serializer[Any]):
    """How much is sent again."""

    changes = serializers.IntegerField()
    objects = serializers.IntegerField()
    example = {"changes": 12, "objects": 3}


class TestSentSerializer(serializers.Serializer[Any]):
    """What was done."""

    detail = serializers.CharField()
    example = {"detail": "The test event is on its way; see attempts."}


class AttemptSerializer(serializers.Serializer[Any]):
    """One try to deliver one message: what was sent, what came back, how long it took."""

    id = serializers.UUIDField()
    message_id = serializers.UUIDField(help_text="As in the header webhook-id.")
    type = serializers.CharField(help_text="The type of the event.")
    number = serializers.IntegerField(help_text="1 for the first try.")
    at = serializers.DateTimeField()
    seconds = serializers.FloatField()
    delivered = serializers.BooleanField()
    cause = serializers.CharField(allow_null=True, help_text="Why it was not delivered.")
    status = serializers.IntegerField(allow_null=True, help_text="Of the answer, when there was one.")
    request_headers = serializers.DictField(child=serializers.CharField(), allow_null=True)
    response_headers = serializers.DictField(child=serializers.CharField(), allow_null=True)
    response = serializers.CharField(allow_null=True, help_text="The beginning of the answer.")
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
        "type": f"{attempt.model}.{attempt.kind}",
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
