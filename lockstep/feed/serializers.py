"""Serializers of changes and of histories."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from lockstep.changes.models import LoggedChange

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


class ChangeSerializer(serializers.Serializer[object]):
    """One committed change of one object."""

    seq = serializers.IntegerField(help_text="Its sequence number in the log.")
    at = serializers.DateTimeField(help_text="The time of the change, by the database's clock.")
    type = serializers.CharField(help_text="The event type, `<app>.<model>.<kind>`, as in webhooks.")
    model = serializers.CharField()
    object_id = serializers.CharField()
    kind = serializers.ChoiceField(LoggedChange.Kind.choices)
    before = serializers.DictField(
        allow_null=True, help_text="The captured columns before; null if the object was created."
    )
    after = serializers.DictField(
        allow_null=True, help_text="The captured columns after; null if the object was deleted."
    )
    actor = serializers.CharField(
        allow_null=True, help_text="The actor, such as `user:<id>`; null for changes made outside the application."
    )
    origin = serializers.CharField(
        allow_null=True, help_text="The provider that the change was imported from; null for changes made here."
    )
    trace = serializers.CharField(
        allow_null=True, help_text="The request (its X-Request-ID) or command that made the change."
    )
    example = {
        **EXAMPLE,
        "type": "posts.post.updated",
        "model": "posts.post",
        "object_id": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2d",
    }


class DifferenceSerializer(serializers.Serializer[object]):
    """The values of a column before and after a change."""

    before = serializers.JSONField()
    after = serializers.JSONField()


@extend_schema_field({"type": "null"})
class NothingField(serializers.Field):  # type: ignore[type-arg]  # it takes none at run time
    """A field that is always null."""


class HistoryEntrySerializer(serializers.Serializer[object]):
    """One change in the history of an object, with the columns that changed.

    A change that was not visible to you has no columns. A column that an entry does not name has the value of the
    nearest older entry that names it.
    """

    seq = serializers.IntegerField(help_text="Its sequence number in the log.")
    at = serializers.DateTimeField(help_text="The time of the change, by the database's clock.")
    kind = serializers.ChoiceField(LoggedChange.Kind.choices)
    actor = serializers.CharField(
        allow_null=True, help_text="The actor, such as `user:<id>`; null for changes made outside the application."
    )
    by = serializers.CharField(allow_null=True, help_text="The username of the actor.")
    origin = serializers.CharField(
        allow_null=True, help_text="The provider that the change was imported from; null for changes made here."
    )
    trace = serializers.CharField(
        allow_null=True, help_text="The request (its X-Request-ID) or command that made the change."
    )
    changed = serializers.DictField(
        child=DifferenceSerializer(),
        required=False,
        help_text="The columns that changed; all columns if the object was created or deleted.",
    )
    before = NothingField(required=False, help_text="Null if the object was created; otherwise absent.")
    after = NothingField(required=False, help_text="Null if the object was deleted; otherwise absent.")
    optional = ("changed", "before", "after")
    example = {
        **{name: value for name, value in EXAMPLE.items() if name not in ("before", "after")},
        "by": "ada",
        "changed": {"title": {"before": "Hello", "after": "Hello again"}},
    }
