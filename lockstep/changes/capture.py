"""Declares captured models: every committed change of them is written to the change log.

    @capture("title", "body", readers=EVERYBODY)
    class Article(models.Model): ...

    capture.register("auth.User", "username", "email")  # a model of another package

The named columns are an allow-list: no other column enters the log. `migrate` installs the triggers (triggers.py);
migrations contain none of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias, TypeVar

from django.apps import apps
from django.db import models

from lockstep.conf import lockstep_settings

__all__ = ["captured_models"]

M = TypeVar("M", bound=type[models.Model])

STAFF, EVERYBODY = "staff", "everybody"  # readers; any other value is the name of a column


@dataclass(frozen=True, slots=True)
class Visibility:
    """Every user may read a row while `column` has this `value`; otherwise only the user whose key is in `owner`.

    Both are captured columns.
    """

    column: str
    value: str
    owner: str


Readers = str | Visibility
Document: TypeAlias = dict[str, Any]  # captured columns by name, with values of JSON


@dataclass(frozen=True, slots=True)
class Capture:
    """The capture of one model, by its label in lower case.

    `columns` are names of fields, or of their columns ("owner_id"). `soft_delete` is the nullable column that is set
    when a row counts as deleted. `was` are the labels that the model had before it was renamed.
    """

    label: str
    columns: tuple[str, ...]
    readers: Readers = STAFF
    staff_only: tuple[str, ...] = ()
    soft_delete: str | None = None
    was: tuple[str, ...] = ()

    @property
    def model(self) -> type[models.Model]:
        """Raises LookupError where there is no such model."""
        return apps.get_model(self.label)


class Declaration:
    """`capture`: a decorator for models, and `capture.register` for models of other packages.

    `readers` are the users who may read the model's changes: STAFF (the default), EVERYBODY (every user), the captured
    column with the owner's key, or a Visibility. Columns in `staff_only` are omitted for all others.
    """

    def __call__(
        self,
        *columns: str,
        readers: Readers = STAFF,
        staff_only: tuple[str, ...] = (),
        soft_delete: str | None = None,
        was: tuple[str, ...] = (),
    ) -> Callable[[M], M]:
        """The decorator of a model. Raises ValueError where readers or staff_only name an uncaptured column."""

        def decorate(model: M) -> M:
            if model._meta.abstract:
                raise ValueError(f"{model.__name__} is abstract and has no table: capture the models that inherit it.")
            self.register(
                model._meta.label,
                *columns,
                readers=readers,
                staff_only=staff_only,
                soft_delete=soft_delete,
                was=was,
            )
            return model

        return decorate

    def register(
        self,
        label: str,
        *columns: str,
        readers: Readers = STAFF,
        staff_only: tuple[str, ...] = (),
        soft_delete: str | None = None,
        was: tuple[str, ...] = (),
    ) -> None:
        """Captures a model by its label, "app.Model"; for a table of a many-to-many field "app.Model_field"."""
        capture = Capture(label.lower(), columns, readers, staff_only, soft_delete, was)
        if fault := _fault(capture):
            raise ValueError(f"capture of {label}: {fault}")
        _declared.setdefault(capture.label, []).append(capture)


_declared: dict[str, list[Capture]] = {}
capture = Declaration()


def _fault(capture: Capture) -> str:
    readers = capture.readers
    named = (readers.column, readers.owner) if isinstance(readers, Visibility) else (readers,)
    if not capture.columns:
        return "name at least one column."
    if unknown := [name for name in named if name not in (STAFF, EVERYBODY, *capture.columns)]:
        readers_are = "STAFF, EVERYBODY, a captured column or a Visibility"
        return f"readers are {readers_are}, not {unknown[0]!r}. {_did_you_mean(unknown[0], capture.columns)}"
    if unknown := [name for name in capture.staff_only if name not in capture.columns]:
        return f"{unknown[0]!r} is in staff_only and not captured. {_did_you_mean(unknown[0], capture.columns)}"
    return ""


def _did_you_mean(name: str, columns: Sequence[str]) -> str:
    similar = get_close_matches(name, columns, n=1)
    return f"Did you mean {similar[0]!r}?" if similar else f"Captured are: {', '.join(columns)}."


def declared() -> dict[str, list[Capture]]:
    """All declarations, by label; `check` reports several for one model."""
    return _declared


def captures() -> Iterator[Capture]:
    """The captures of existing models, by label."""
    for label in sorted(_declared):
        try:
            apps.get_model(label)
        except LookupError:
            continue
        yield _declared[label][0]


def captured_models() -> list[type[models.Model]]:
    """The captured models, by label."""
    return [capture.model for capture in captures()]


def capture_of(model: type[models.Model]) -> Capture | None:
    """The capture of a model, or of a proxy's model; None where it is not captured."""
    concrete = model._meta.concrete_model or model
    found = _declared.get(concrete._meta.label_lower)
    return found[0] if found else None


def uncaptured_models() -> list[type[models.Model]]:
    """Models of CAPTURED_APPS without capture and without a reason, including tables of many-to-many fields."""
    return [
        model
        for label in lockstep_settings.CAPTURED_APPS
        if label in apps.app_configs  # a check reports the others
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
        if model._meta.label_lower not in _declared and not uncaptured_because(model)
    ]


def uncaptured_because(model: type[models.Model]) -> str:
    """The reason why a model is not captured: `uncaptured = "<reason>"`.

    For the table that Django makes for a many-to-many field, the reason is in the field's model: `uncaptured_fields =
    {"<field>": "<reason>"}`.
    """
    owner: Any = model._meta.auto_created  # the model with the field; a flag in the stubs
    if not owner:
        return str(getattr(model, "uncaptured", ""))
    [field] = [field for field in owner._meta.local_many_to_many if field.remote_field.through is model]
    return str(getattr(owner, "uncaptured_fields", {}).get(field.name, ""))


def required_capture(model: type[models.Model]) -> Capture:
    """The capture of a model. Raises ValueError for one that is not captured."""
    if capture := capture_of(model):
        return capture
    raise ValueError(f"{model._meta.label} is not captured.")


def captured(label: str) -> Capture:
    """The capture with this label. Raises LookupError where there is none, or its model was removed."""
    capture = _declared[label][0]
    apps.get_model(label)
    return capture
