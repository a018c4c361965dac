"""What every serializer shares: shape and limits, no decisions. `example` is what the API's description shows."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from orjson import loads
from rest_framework import serializers

from lockstep.api.json import written
from lockstep.api.parameters import MAX_ERRORS


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a misspelt name is an error and not a silent loss.

    A read-only field of the object that is changed (`shown`, as clients see it) may be sent back as it is, and with no
    other value. A new object has none yet: what is sent for one is ignored, so that a copy of another can be made.
    """

    example: Mapping[str, object] = {}

    def __init__(self, *args: Any, shown: Mapping[str, Any] | None = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self._shown = shown

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 - REST framework's signature
        """The fields' values. Raises ValidationError with the mistakes of all fields."""
        mistakes = self._refused(data) if isinstance(data, Mapping) else {}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not mistakes or not isinstance(error.detail, dict):
                raise
            raise serializers.ValidationError({**mistakes, **error.detail}) from error
        if mistakes:
            raise serializers.ValidationError(mistakes)
        return values

    def _refused(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        """The fields that there are not, and those that cannot be changed."""
        fields = self.fields
        mistakes = {name: ["There is no such field."] for name in sorted(set(data) - set(fields))[:MAX_ERRORS]}
        if self._shown is not None:
            shown = loads(written(self._shown))
            changed = [name for name in data if name in fields and fields[name].read_only and data[name] != shown[name]]
            mistakes |= {name: ["Cannot be changed. Leave it out, or send it as it is."] for name in changed}
        return mistakes


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
