"""Which rule a database error names: the field, and the sentence that the model has for it."""

from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import DatabaseError, models

CONCURRENT_WRITE = "A concurrent request wrote a conflicting value. Retry."
REFUSED = "The database refused this. Nothing was changed; the reason is in the server's log."
ALIVE_SUFFIX = "_alive"  # of the constraints of AliveParent (entities.py)


def violation(model: type[models.Model], error: DatabaseError) -> tuple[str | None, str]:
    """The field that the error is about, None for more than one, and a sentence about it.

    A constraint of the model has its own sentence; a trigger of ours has raised one.
    """
    name = _diagnosis(error).constraint_name if isinstance(error.__cause__, psycopg.Error) else None
    for constraint in model._meta.constraints:
        if constraint.name == name:
            return field_of(constraint), str(constraint.get_violation_error_message())
    for field in model._meta.concrete_fields:
        if name and field.unique and name.startswith(f"{model._meta.db_table}_{field.column}_"):
            return field.name, str(field.error_messages["unique"]) % _names(model, field)
    return None, sentence_of_trigger(error) or (CONCURRENT_WRITE if is_concurrent(error) else REFUSED)


def is_concurrent(error: DatabaseError) -> bool:
    """Whether the write of another transaction came first, so that the same request may succeed, or is refused with its
    reason, when it is sent again: a value that was free, or a parent that was not deleted, a moment before.

    All other constraints are hurt by us alone: a second try meets the same.
    """
    cause = error.__cause__
    if isinstance(cause, psycopg.errors.ForeignKeyViolation):
        return (cause.diag.constraint_name or "").endswith(ALIVE_SUFFIX)
    return isinstance(cause, (psycopg.errors.UniqueViolation, psycopg.errors.ExclusionViolation))


def sentence_of_trigger(error: DatabaseError) -> str | None:
    """What RAISE EXCEPTION said; PostgreSQL's own refusals name a constraint, or are of another kind."""
    cause = error.__cause__
    raised = isinstance(cause, psycopg.errors.CheckViolation) and not cause.diag.constraint_name
    return _diagnosis(error).message_primary if raised else None


def field_of(constraint: models.BaseConstraint) -> str | None:
    """The one field that a constraint is about; None for more than one."""
    names = set(_fields_of(constraint))
    return names.pop() if len(names) == 1 else None


def _fields_of(constraint: models.BaseConstraint) -> Iterator[str]:
    if isinstance(constraint, models.CheckConstraint):
        yield from getattr(constraint.condition, "referenced_base_fields", ())
    elif isinstance(constraint, models.UniqueConstraint):
        yield from constraint.fields
        for expression in constraint.expressions:
            parts: Iterator[Any] = expression.flatten()  # type: ignore[union-attr]  # of functions
            yield from (vars(part)["name"] for part in parts if isinstance(part, models.F))


def _diagnosis(error: DatabaseError) -> psycopg.errors.Diagnostic:
    assert isinstance(error.__cause__, psycopg.Error)  # noqa: S101 - asked before
    return error.__cause__.diag


def _names(model: type[models.Model], field: "models.Field[object, object]") -> dict[str, object]:
    return {"model_name": model._meta.verbose_name, "field_label": field.verbose_name}
