"""Shapes of changes, and of what narrows a list of them."""

from typing import Any

from rest_framework import serializers

from lockstep.changes.models import Change

EXAMPLE = {
    "seq": 4711,
    "at": "2026-01-31T12:00:00Z",
    "kind": "updated",
    "actor": "user:019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b",
    "origin": None,
    "trace": "checkout-4711",
    "before": {"title": "Hello"},
    "after": {"title": "Hello again"},
}


class ChangeSerializer(serializers.Serializer[Any]):
    """One committed change of one object."""

    seq = serializers.IntegerField(help_text="Its place in the log.")
    at = serializers.DateTimeField(help_text="When it was written, by the database's clock.")
    type = serializers.CharField(help_text="The model and the kind, as webhooks have it.")
    model = serializers.CharField()
    object_id = serializers.CharField()
    kind = serializers.ChoiceField(Change.Kind.choices)
    before = serializers.DictField(allow_null=True, help_text="Null when the object was not there.")
    after = serializers.DictField(allow_null=True, help_text="Null when the object is gone.")
    actor = serializers.CharField(allow_null=True, help_text="Who; null when written past the application.")
    origin = serializers.CharField(allow_null=True, help_text="From where it was imported; null for our own.")
    trace = serializers.CharField(allow_null=True, help_text="The X-Request-ID or the command that it belongs to.")
    example = {
        **EXAMPLE,
        "type": "posts.post.updated",
        "model": "posts.post",
        "object_id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2d",
    }


class DifferenceSerializer(serializers.Serializer[Any]):
    """A column before and after."""

    before = serializers.JSONField()
    after = serializers.JSONField()


class HistoryEntrySerializer(serializers.Serializer[Any]):
    """One change in the history of an object. What it was is shown to who might see it then."""

    seq = serializers.IntegerField(help_text="Its place in the log.")
    at = serializers.DateTimeField(help_text="When it was written, by the database's clock.")
    kind = serializers.ChoiceField(Change.Kind.choices)
    actor = serializers.CharField(allow_null=True, help_text="Who; null when written past the application.")
    by = serializers.CharField(allow_null=True, help_text="Their username.")
    origin = serializers.CharField(allow_null=True, help_text="From where it was imported; null for our own.")
    trace = serializers.CharField(allow_null=True, help_text="The X-Request-ID or the command that it belongs to.")
    changed = serializers.DictField(child=DifferenceSerializer(), required=False, help_text="What is different.")
    before = serializers.DictField(allow_null=True, required=False, help_text="Null when the object was not there.")
    after = serializers.DictField(allow_null=True, required=False, help_text="Null when the object is gone.")
    optional = ("changed", "before", "after")
    example = {**EXAMPLE, "by": "ada", "changed": {"title": {"before": "Hello", "after": "Hello again"}}}


class NarrowingSerializer(serializers.Serializer[Any]):
    """What a list of changes is narrowed by."""

    model = serializers.CharField(required=False, help_text="Such as `posts.post`.")
    object_id = serializers.CharField(required=False)
    kind = serializers.CharField(required=False, help_text="`created`, `updated` or `deleted`.")
    actor = serializers.CharField(required=False, help_text="Such as `user:<id>`.")
    origin = serializers.CharField(required=False)
    trace = serializers.CharField(required=False)
    since = serializers.DateTimeField(required=False, help_text="From then on.")
    until = serializers.DateTimeField(required=False, help_text="Before then.")


class FollowingSerializer(serializers.Serializer[Any]):
    """What a live stream takes."""

    events = serializers.CharField(required=False, help_text="Patterns such as `posts.post.*`, with commas.")
    last_event_id = serializers.CharField(required=False, help_text="For clients that cannot send Last-Event-ID.")
