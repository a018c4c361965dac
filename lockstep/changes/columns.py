"""The columns of captured models in SQL: how their values are written into the log, and compared with it."""

from typing import Any, TypeAlias

from django.db import models

from lockstep.changes.capture import Capture
from lockstep.conf import log_connection
from lockstep.sql import Statement, identifier, joined, literal, statements

TRIGGERS = statements(__file__, "triggers")
# Settings by which PostgreSQL formats values as text, and their values in the capture functions.
AS_TEXT = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
MAX_PAIRS = 50  # of one jsonb_build_object: a function takes 100 arguments
AnyField: TypeAlias = "models.Field[Any, Any]"
# Fields whose text depends on none of these settings; others that are not in SENSITIVE get all of them.
PLAIN: tuple[type[AnyField], ...] = (
    *(models.BooleanField, models.CharField, models.DateField, models.DecimalField, models.FileField),
    *(models.FilePathField, models.GenericIPAddressField, models.IntegerField, models.JSONField, models.TextField),
    *(models.TimeField, models.UUIDField),
)
SENSITIVE: dict[type[AnyField], tuple[str, ...]] = {
    models.FloatField: ("extra_float_digits",),
    models.DurationField: ("IntervalStyle",),
    models.BinaryField: ("bytea_output",),
}


def table_of(model: type[models.Model]) -> Statement:
    """SQL: the table of a model, as Django writes it: db_table may have a schema in it (`schema"."table`)."""
    return Statement(log_connection().ops.quote_name(model._meta.db_table))


def compared(capture: Capture) -> dict[str, Statement]:
    """The parts of statements that compare the rows of a model with the log."""
    return {
        "label": literal(capture.label),
        "table": table_of(capture.model),
        "key": _column(capture.model, "pk", "t"),
        "document": document(capture.model, capture.columns, "t"),
        "seen": seen(capture.model, "t", capture.soft_delete),
    }


def document(model: type[models.Model], columns: tuple[str, ...], row: str) -> Statement:
    """SQL: the captured columns of a row as jsonb."""
    pair, part = Statement("{name}, {value}"), Statement("jsonb_build_object({pairs})")
    pairs = [pair.with_parts(name=literal(name), value=_value(model, name, row)) for name in columns]
    chunks = [pairs[start : start + MAX_PAIRS] for start in range(0, len(pairs), MAX_PAIRS)]
    return joined((part.with_parts(pairs=joined(chunk)) for chunk in chunks), " || ")


def seen(model: type[models.Model], row: str, soft_delete: str | None) -> Statement:
    """SQL: whether the row exists and is not softly deleted."""
    key = _column(model, "pk", row)
    if soft_delete is None:
        return Statement("{key} IS NOT NULL").with_parts(key=key)
    deleted = _column(model, soft_delete, row)
    return Statement("{key} IS NOT NULL AND {deleted} IS NULL").with_parts(key=key, deleted=deleted)


def _column(model: type[models.Model], name: str, row: str) -> Statement:
    return Statement("{row}.{column}").with_parts(row=Statement(row), column=identifier(column_of(model, name)))


def _value(model: type[models.Model], name: str, row: str) -> Statement:
    """SQL: a column's logged value. Decimals are strings, because JSON numbers are read as floats."""
    column = _column(model, name, row)
    kind, of_array = written_field(model, name)
    if isinstance(kind, models.DecimalField):
        return Statement("{column}::text[]" if of_array else "{column}::text").with_parts(column=column)
    if isinstance(kind, models.DateTimeField) and not of_array:
        return TRIGGERS["utc"].with_parts(column=column)
    return column


def written_field(model: type[models.Model], name: str) -> tuple[AnyField, bool]:
    """The field that decides how a column is written, and whether the column is an array of such.

    Of a foreign key it is the field that it refers to, of a generated column its result, of an array its element.
    """
    field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    of_array = False
    while True:
        if isinstance(field, models.ForeignKey):
            field = field.target_field
        elif isinstance(field, models.GeneratedField):
            field = field.output_field
        elif hasattr(field, "base_field") and not hasattr(field, "range_type"):  # an ArrayField, which needs psycopg
            field, of_array = field.base_field, True
        else:
            return field, of_array


def settings_for(model: type[models.Model], columns: tuple[str, ...]) -> set[str]:
    """The settings that decide how these columns and the key are formatted as text."""
    found: set[str] = set()
    for name in ("pk", *columns):
        kind, of_array = written_field(model, name)
        sensitive = [settings for field, settings in SENSITIVE.items() if isinstance(kind, field)]
        if sensitive:
            found.update(*sensitive)
        elif isinstance(kind, models.DateTimeField) or (
            isinstance(kind, models.DateField) and (of_array or name == "pk")
        ):
            found.update(("TimeZone", "DateStyle"))  # of times beyond the calendar, in arrays and in keys
        elif not isinstance(kind, PLAIN):
            found.update(AS_TEXT)
    return found


def column_of(model: type[models.Model], name: str) -> str:
    """The column of a field by its name, or of "pk". Raises ValueError where it has none."""
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    column = getattr(field, "column", None)
    if column is None:
        raise ValueError(f"{model._meta.label} has no column for {name!r}.")
    return str(column)
