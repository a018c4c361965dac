"""What every serializer shares: shape and limits, no decisions. `example` is what the API's description shows."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from rest_framework import serializers


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a misspelt name is an error and not a silent loss.

    A read-only field may be sent back as it was shown; it is ignored.
    """

    example: Mapping[str, object] = {}

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 - REST framework's signature
        if isinstance(data, Mapping) and (unknown := set(data) - set(self.fields)):
            raise serializers.ValidationError({name: ["There is no such field."] for name in sorted(unknown)})
        return super().to_internal_value(data)


@cache
def page_of(shape: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The shape of a page (paging.py)."""
    fields = {
        "count": serializers.IntegerField(required=False, help_text="How many there are; with `offset` only."),
        "next": serializers.URLField(allow_null=True, help_text="The page after this one; null on the last."),
        "previous": serializers.URLField(allow_null=True, help_text="The page before this one; null on the first."),
        "results": shape(many=True),
    }
    name = shape.__name__.removesuffix("Serializer") + "PageSerializer"
    return type(name, (serializers.Serializer,), {**fields, "optional": ("count",), "__doc__": "One page."})


class HealthSerializer(serializers.Serializer[Any]):
    """That it answers."""

    status = serializers.ChoiceField(["ok"])


class ReadinessSerializer(serializers.Serializer[Any]):
    """What it needs, each "ok" or what is missing."""

    database = serializers.CharField()
    migrations = serializers.CharField()
    worker = serializers.CharField()
    example = {"database": "ok", "migrations": "ok", "worker": "ok"}


class ProblemKindSerializer(serializers.Serializer[Any]):
    """A kind of problem, and what to do about it."""

    type = serializers.CharField(help_text="As it stands in a problem.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    remedy = serializers.CharField(help_text="What a client does about it.")
    example = {
        "type": "/problems/out-of-date",
        "title": "Somebody else has changed it",
        "status": 412,
        "remedy": "The object is no longer the one whose ETag stands in If-Match. Read it again, and decide anew.",
    }
