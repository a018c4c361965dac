"""Capture: the triggers that write every committed change of a model into the change log.

    class Meta:
        triggers = capture("title", "body")

The named columns are an allow-list: nothing else of the row ever enters the log. `readers` says who may read what the
log has of the model: staff only, unless it names everybody (signed in), or the captured column with an owner's id. Rows
that everybody may read while a column has some value, and only their owner otherwise, have a `Visibility`. Columns that
are `staff_only` are left out for all others (readers.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pgtrigger
from django.apps import apps
from django.conf import settings
from django.db import models

from lockstep.changes.sql_file import load

BODIES = load(Path(__file__).parent / "sql" / "capture.sql")
SOFT_DELETION = "deleted"
UTC = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
# By these settings of the session that writes, PostgreSQL shows values of such fields otherwise, or two of them alike,
# so that no difference is seen. Functions that capture them set these.
SHOWN_BY: "dict[type[models.Field[Any, Any]], tuple[str, str]]" = {
    models.FloatField: ("extra_float_digits", "1"),
    models.DurationField: ("IntervalStyle", "postgres"),
    models.BinaryField: ("bytea_output", "hex"),
}
STAFF, EVERYBODY = "staff", "everybody"  # readers; anything else is the name of a column

# pgtrigger leaves these untyped.
NEW_ROWS: Any = pgtrigger.Referencing(new="new_rows")  # type: ignore[no-untyped-call]
OLD_ROWS: Any = pgtrigger.Referencing(old="old_rows")  # type: ignore[no-untyped-call]
BOTH_ROWS: Any = pgtrigger.Referencing(old="old_rows", new="new_rows")  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Visibility:
    """Everybody may read a row while its `column` has this `value`; otherwise the user in `owner`. Captured columns."""

    column: str
    value: str
    owner: str


Readers = str | Visibility


class Capture(pgtrigger.Trigger):
    """One of a model's four capture triggers; `columns` are attribute names of its fields."""

    def __init__(
        self,
        *,
        columns: tuple[str, ...],
        readers: Readers,
        staff_only: tuple[str, ...],
        **options: Any,  # noqa: ANN401 - pgtrigger's
    ) -> None:
        self.columns = columns
        self.readers = readers
        self.staff_only = staff_only
        super().__init__(**options)

    def get_func(self, model: type[models.Model]) -> str:  # type: ignore[override]  # pgtrigger means the class
        """The trigger's body: the named statement of capture.sql with the model's names filled in."""
        statement = BODIES[str(self).removeprefix("capture_")].replace("{overtaken}", BODIES["overtaken"])
        body: str = statement.format(
            label=model._meta.label_lower,
            table=quote(model._meta.db_table),
            pk=quote(column_of(model, "pk")),
            old_document=document(model, self.columns, "o"),
            new_document=document(model, self.columns, "n"),
            old_seen=seen(model, "o"),
            new_seen=seen(model, "n"),
            document_now=document(model, self.columns, "t"),
            seen_now=seen(model, "t"),
        )
        return f"{body}\nRETURN NULL;"

    def settings_of(self, model: type[models.Model]) -> list[tuple[str, str]]:
        """The settings, by name and value, that decide how its columns are shown."""
        fields = [model._meta.get_field(name) for name in self.columns]
        shown = [getattr(field, "base_field", field) for field in fields]  # of an array, its elements
        return [setting for kind, setting in SHOWN_BY.items() if any(isinstance(each, kind) for each in shown)]


def capture(*columns: str, readers: Readers = STAFF, staff_only: tuple[str, ...] = ()) -> list[pgtrigger.Trigger]:
    """The triggers that capture these columns of a model, for its `Meta.triggers`."""
    named = (readers.column, readers.owner) if isinstance(readers, Visibility) else (readers,)
    if unknown := [name for name in named if name not in (STAFF, EVERYBODY, *columns)]:
        raise ValueError(f"The readers of a model are {STAFF}, {EVERYBODY} or captured columns, not {unknown[0]!r}.")
    if unknown := [name for name in staff_only if name not in columns]:
        raise ValueError(f"{unknown[0]!r} is staff_only and not captured.")
    common = {"columns": columns, "readers": readers, "staff_only": staff_only}
    return [
        _trigger("insert", operation=pgtrigger.Insert, referencing=NEW_ROWS, **common),
        _trigger("update", operation=pgtrigger.Update, referencing=BOTH_ROWS, **common),
        _trigger("delete", operation=pgtrigger.Delete, referencing=OLD_ROWS, **common),
        _trigger("truncate", operation=pgtrigger.Truncate, when=pgtrigger.Before, **common),
    ]


def _trigger(name: str, **options: Any) -> Capture:  # noqa: ANN401 - pgtrigger's options
    options = {"when": pgtrigger.After, "level": pgtrigger.Statement} | options
    return Capture(name=f"capture_{name}", **options)


def document(model: type[models.Model], columns: tuple[str, ...], row: str) -> str:
    """SQL: what the log has of a row, its captured columns as jsonb. Times are in UTC, whoever writes."""
    pairs = ", ".join(f"'{name}', {_value(model, name, row)}" for name in columns)
    return f"jsonb_build_object({pairs})"


def seen(model: type[models.Model], row: str) -> str:
    """SQL: whether the object is there: the row exists and is not softly deleted."""
    exists = f"{row}.{quote(column_of(model, 'pk'))} IS NOT NULL"
    softly = any(field.column == SOFT_DELETION for field in model._meta.concrete_fields)
    return f"{exists} AND {row}.{SOFT_DELETION} IS NULL" if softly else exists


def _value(model: type[models.Model], name: str, row: str) -> str:
    column = f"{row}.{quote(column_of(model, name))}"
    if isinstance(model._meta.get_field(name), models.DateTimeField):
        shown = f"to_char({column} AT TIME ZONE 'UTC', '{UTC}')"
        # It shows no infinity, and a year before Christ as one after: such times are told apart all the same.
        return f"CASE WHEN {column} >= '0001-01-01Z' AND {column} < 'infinity' THEN {shown} ELSE {column}::text END"
    return column


def captured_columns(model: type[models.Model]) -> tuple[str, ...]:
    """The allow-list of a model; empty when it is not captured."""
    return next((trigger.columns for trigger in captures_of(model)), ())


def captures_of(model: type[models.Model]) -> list[Capture]:
    """The capture triggers that a model declares."""
    return [trigger for trigger in getattr(model._meta, "triggers", []) if isinstance(trigger, Capture)]


def readers_of(model: type[models.Model]) -> Readers:
    """Who may read what the log has of a model: STAFF, EVERYBODY, the column with an owner's id, or a Visibility."""
    return next((trigger.readers for trigger in captures_of(model)), STAFF)


def staff_only_of(model: type[models.Model]) -> tuple[str, ...]:
    """The captured columns of a model that nobody but staff reads."""
    return next((trigger.staff_only for trigger in captures_of(model)), ())


def models_to_capture() -> list[type[models.Model]]:
    """Every model of CAPTURED_APPS, the tables of many-to-many fields among them, that does not say why not."""
    return [
        model
        for label in settings.CAPTURED_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
        if not uncaptured_because(model)
    ]


def uncaptured_because(model: type[models.Model]) -> str:
    """Why a model is not captured: `uncaptured = "<reason>"`.

    The table that Django makes for a many-to-many field has no class to say so. The field's model does:
    `uncaptured_fields = {"<field>": "<reason>"}`.
    """
    owner: Any = model._meta.auto_created  # the model with the field; the stubs have it as a flag
    if not owner:
        return str(getattr(model, "uncaptured", ""))
    [field] = [field for field in owner._meta.local_many_to_many if field.remote_field.through is model]
    return str(getattr(owner, "uncaptured_fields", {}).get(field.name, ""))


def column_of(model: type[models.Model], name: str) -> str:
    """The column behind a field's name, "pk" included."""
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    column = getattr(field, "column", None)
    if column is None:
        raise ValueError(f"{model._meta.label} has no column for {name!r}.")
    return str(column)


def quote(name: str) -> str:
    """An SQL identifier; pgtrigger renders bodies without parameters."""
    return '"' + name.replace('"', '""') + '"'
