"""Base serializers: shape and limits, no decisions. `example` is the example in the OpenAPI document."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, cached_property
from math import inf
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from orjson import loads
from rest_framework import serializers

from lockstep.rest.errors import MAX_ERRORS
from lockstep.rest.responses import dumps

__all__ = ["ApiSerializer", "ProblemSerializer", "StrictSerializer", "page_of", "validated"]

Json = Mapping[str, Any] | Sequence[Any] | str | float | bool | None
MAX_TOKEN = 1_000  # characters of a value that is not free text: a number, a time, an id, a choice


class ApiSerializer(serializers.Serializer[object]):
    """The declaration of a shape: it is in the OpenAPI document, and it makes the representation of an object."""

    optional: Collection[str] = ()  # fields that not every representation has

    @classmethod
    def represent(cls, instance: object) -> dict[str, object]:
        """The declared fields of an object, or of a mapping, for dumps(). A view adds those that are `optional`.

        REST framework's own way copies all fields for each representation, and takes twenty times as long.
        """
        shape = _shape(cls)
        readers = shape.items if isinstance(instance, Mapping) else shape.attributes
        values = {name: read(instance) for name, read in readers}
        for name, convert in shape.converters:
            if values[name] is not None:
                values[name] = convert(values[name])
        return values

    def to_representation(self, instance: object) -> dict[str, object]:
        return self.represent(instance)


class StrictSerializer(ApiSerializer):
    """Refuses unknown fields, so that a misspelt name is an error and not silently ignored.

    A read-only field may be sent with the value of `current`, the representation of the object, and with no other
    value. A new object has no read-only fields, and accepts none.

    Lengths are checked before contents: validating a text or a list may take the square of its length.
    """

    example: Mapping[str, object] = {}
    ignores_read_only = False  # on a frozen route whose predecessor ignores what the server sets

    def __init__(self, *args: Any, current: Mapping[str, object] | None = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self._current = current

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 - REST framework's signature
        """The fields' values. Raises ValidationError with the errors of all fields."""
        if not isinstance(data, Mapping):
            return super().to_internal_value(data)
        limits = self._limits
        refused: dict[str, list[str]] = {}
        for name, value in data.items():
            if name not in limits or (isinstance(value, (str, list)) and len(value) > limits[name]):
                refused = self._unknown(data) | self._unchangeable(data) | self._too_long(data)
                break
        try:
            values = super().to_internal_value({name: data[name] for name in data if name not in refused})
        except serializers.ValidationError as error:
            if isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **refused}) from error
            raise
        if refused:
            raise serializers.ValidationError(refused)
        return values

    @cached_property
    def _limits(self) -> dict[str, float]:
        """The fields that a client sets, each with the maximum length of its value."""
        return {name: _limit(field) or inf for name, field in self.fields.items() if not field.read_only}

    def _unknown(self, data: Mapping[str, object]) -> dict[str, list[str]]:
        """An error for each of the first unknown fields."""
        unknown = sorted(set(data) - set(self.fields))
        return {name: ["There is no such field."] for name in unknown[: MAX_ERRORS + 1]}

    def _unchangeable(self, data: Mapping[str, object]) -> dict[str, list[str]]:
        """An error for each read-only field that is sent with another value."""
        read_only = [name for name in data if name in self.fields and self.fields[name].read_only]
        if self._current is None:
            return {} if self.ignores_read_only else {key: ["Set by the server. Leave it out."] for key in read_only}
        current = loads(dumps(self._current))
        changed = [name for name in read_only if data[name] != current[name]]
        return {key: ["Cannot be changed. Leave it out, or send it as it is."] for key in changed}

    def _too_long(self, data: Mapping[str, object]) -> dict[str, list[str]]:
        """An error for each text and each list that is too long."""
        errors = {}
        for name, value in data.items():
            field = self.fields.get(name)
            limit = _limit(field) if field and not field.read_only and isinstance(value, (str, list)) else None
            if limit and len(value) > limit and len(_trimmed(value, field)) > limit:  # type: ignore[arg-type]  # sized
                kind = "characters" if isinstance(value, str) else "elements"
                errors[name] = [f"Ensure this field has no more than {limit} {kind}."]
        return errors


def validated(
    serializer: type[serializers.Serializer[Any]],
    data: Json,
    *,
    current: Mapping[str, object] | None = None,
    partial: bool = False,
    context: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """The values of `request.data`, the body of a request. Raises ValidationError.

    `current`, for a StrictSerializer, is the representation of the object that is changed, and `partial` for a PATCH.
    """
    is_shared = issubclass(serializer, StrictSerializer) and current is None and not partial and context is None
    if is_shared and isinstance(data, Mapping):
        return dict(_shared(serializer).run_validation(data))
    options: dict[str, Any] = {} if current is None else {"current": current}
    checked = serializer(data=data, partial=partial, context=dict(context or {}), **options)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


@cache
def _shared(serializer: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """One serializer for all requests and threads: `run_validation` keeps nothing in it.

    Another one for each request copies all fields: 0.2 ms for an order.
    """
    return serializer()


class _Shape(NamedTuple):
    """The fields of a representation by name: what reads each from an object or a mapping, and what makes it JSON."""

    attributes: list[tuple[str, Callable[[Any], object]]]
    items: list[tuple[str, Callable[[Any], object]]]
    converters: list[tuple[str, Callable[[Any], object]]]


@cache
def _shape(serializer: type[ApiSerializer]) -> _Shape:
    """A field that a subclass declares again keeps its place: REST framework moves it to the end."""
    bases = [getattr(base, "_declared_fields", {}) for base in reversed(serializer.__mro__)]
    names = dict.fromkeys(name for declared in bases for name in declared)
    fields = {name: serializer._declared_fields[name] for name in names if name not in serializer.optional}
    sources = {name: field.source or name for name, field in fields.items() if not field.write_only}
    return _Shape(
        [(name, attrgetter(source)) for name, source in sources.items()],
        [(name, itemgetter(source)) for name, source in sources.items()],
        [(name, convert) for name in sources if (convert := _converter(fields[name]))],
    )


def _converter(field: object) -> Callable[[Any], object] | None:
    """What makes a value of this field JSON; None where dumps() does: numbers, ids, times, lists of texts."""
    if isinstance(field, serializers.ListSerializer) and isinstance(field.child, ApiSerializer):
        represent = field.child.represent
        return lambda rows: [represent(row) for row in rows]
    if isinstance(field, ApiSerializer):
        return field.represent
    return str if isinstance(field, (serializers.CharField, serializers.DecimalField)) else None


def _limit(field: object) -> int | None:
    """The maximum length of a value of this field; None for a text without a limit."""
    limit: int | None = getattr(field, "max_length", None)
    return limit or (None if isinstance(field, (serializers.CharField, serializers.ListField)) else MAX_TOKEN)


def _trimmed(value: str | list[object], field: object) -> str | list[object]:
    return value.strip() if isinstance(value, str) and getattr(field, "trim_whitespace", True) else value


@cache
def page_of(shape: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """The serializer of a page (paging/)."""
    fields = {
        "count": serializers.IntegerField(
            required=False, help_text="The number of all rows; with `offset` or `count` only."
        ),
        "next": serializers.URLField(allow_null=True, help_text="The page after this one; null on the last."),
        "previous": serializers.URLField(allow_null=True, help_text="The page before this one; null on the first."),
        "results": shape(many=True),
    }
    name = shape.__name__.removesuffix("Serializer") + "PageSerializer"
    return type(name, (serializers.Serializer,), {**fields, "optional": ("count",), "__doc__": "A page of a list."})


class HealthSerializer(serializers.Serializer[object]):
    """The state of this process."""

    status = serializers.ChoiceField(["ok"])


class ReadinessSerializer(serializers.Serializer[object]):
    """The state of each dependency: "ok", or what is missing."""

    database = serializers.CharField()
    migrations = serializers.CharField()
    worker = serializers.CharField()
    periodic = serializers.CharField()
    mirrors = serializers.CharField()
    example = {"database": "ok", "migrations": "ok", "worker": "ok", "periodic": "ok", "mirrors": "ok"}


class ProblemSerializer(serializers.Serializer[object]):
    """A problem with extension members (RFC 9457)."""

    type = serializers.CharField(help_text="The URL of the problem type, which says what to do.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What went wrong in this request.")
    errors = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))  # type: ignore[assignment]


class ProblemKindSerializer(serializers.Serializer[object]):
    """A problem type, and what a client should do."""

    type = serializers.CharField(help_text="The `type` of the problem.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    remedy = serializers.CharField(help_text="What a client should do.")
    example = {
        "type": "/problems/out-of-date",
        "title": "The object has changed",
        "status": 412,
        "remedy": "Its ETag is no longer the one in `If-Match`. Read the object again before you retry.",
    }
