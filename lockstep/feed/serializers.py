"""Shapes of changes, and of what narrows a list of them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
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


@extend_schema_field({"type": "null"})
class NothingField(serializers.Field):  # type: ignore[type-arg]  # it takes none at run time
    """null."""


class HistoryEntrySerializer(serializers.Serializer[Any]):
    """One change in the history of an object: the columns that changed, to users who might see it then.

    A column that an entry does not name is as the nearest older entry that names it says.
    """

    seq = serializers.IntegerField(help_text="Its place in the log.")
    at = serializers.DateTimeField(help_text="When it was written, by the database's clock.")
    kind = serializers.ChoiceField(Change.Kind.choices)
    actor = serializers.CharField(allow_null=True, help_text="Who; null when written past the application.")
    by = serializers.CharField(allow_null=True, help_text="Their username.")
    origin = serializers.CharField(allow_null=True, help_text="From where it was imported; null for our own.")
    trace = serializers.CharField(allow_null=True, help_text="The X-Request-ID or the command that it belongs to.")
    changed = serializers.DictField(
        child=DifferenceSerializer(),
        required=False,
        help_text="The columns that are different; all of them when the object comes or goes.",
    )
    before = NothingField(required=False, help_text="Null, only where the object was not there before.")
    after = NothingField(required=False, help_text="Null, only where the object is gone.")
    optional = ("changed", "before", "after")
    example = {
        **{name: value for name, value in EXAMPLE.items() if name not in ("before", "after")},
        "by": "ada",
        "changed": {"title": {"before": "Hello", "after": "Hello again"}},
    }
