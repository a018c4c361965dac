"""The constraint that a database error names: its field and its message."""

from collections.abc import Iterator

import psycopg
from django.db import DatabaseError, models

__all__ = ["ALIVE_SUFFIX", "CONCURRENT_WRITE", "REFUSED", "field_of", "is_concurrent", "trigger_message", "violation"]

CONCURRENT_WRITE = "A concurrent request wrote a conflicting value. Retry."
REFUSED = "The database refused the write. Nothing was changed; the reason is in the server's log."
ALIVE_SUFFIX = "_alive"  # of constraints that refuse a row whose parent is softly deleted


def violation(model: type[models.Model], error: DatabaseError) -> tuple[str | None, str]:
    """The field of the error, None for more than one, and a message.

    The message is that of the model's constraint, or the one that a trigger raised.
    """
    name = _diagnosis(error).constraint_name if isinstance(error.__cause__, psycopg.Error) else None
    for constraint in model._meta.constraints:
        if constraint.name == name:
            return field_of(constraint), str(constraint.get_violation_error_message())
    for field in model._meta.concrete_fields:
        if name and field.unique and name.startswith(f"{model._meta.db_table}_{field.column}_"):
            return field.name, str(field.error_messages["unique"]) % _names(model, field)
    return None, trigger_message(error) or (CONCURRENT_WRITE if is_concurrent(error) else REFUSED)


def is_concurrent(error: DatabaseError) -> bool:
    """Whether the cause is a concurrent write of another transaction: a value that was free, or a parent that was not
    deleted, a moment before. The same request may succeed, or fail with its reason, when it is sent again.

    Violations of all other constraints are bugs: a retry would fail in the same way.
    """
    cause = error.__cause__
    if isinstance(cause, psycopg.errors.ForeignKeyViolation):
        return (cause.diag.constraint_name or "").endswith(ALIVE_SUFFIX)
    return isinstance(cause, (psycopg.errors.UniqueViolation, psycopg.errors.ExclusionViolation))


def trigger_message(error: DatabaseError) -> str | None:
    """The message of RAISE EXCEPTION in a trigger; PostgreSQL's own errors name a constraint or have another code."""
    cause = error.__cause__
    raised = isinstance(cause, psycopg.errors.CheckViolation) and not cause.diag.constraint_name
    return _diagnosis(error).message_primary if raised else None


def field_of(constraint: models.BaseConstraint) -> str | None:
    """The field of a constraint; None for more than one."""
    names = set(_fields_of(constraint))
    return names.pop() if len(names) == 1 else None


def _fields_of(constraint: models.BaseConstraint) -> Iterator[str]:
    if isinstance(constraint, models.CheckConstraint):
        yield from getattr(constraint.condition, "referenced_base_fields", ())
    elif isinstance(constraint, models.UniqueConstraint):
        yield from constraint.fields
        for expression in constraint.expressions:
            parts: Iterator[object] = expression.flatten()  # type: ignore[union-attr]  # of functions
            yield from (vars(part)["name"] for part in parts if isinstance(part, models.F))


def _diagnosis(error: DatabaseError) -> psycopg.errors.Diagnostic:
    assert isinstance(error.__cause__, psycopg.Error)  # noqa: S101 - checked before
    return error.__cause__.diag


def _names(model: type[models.Model], field: "models.Field[object, object]") -> dict[str, object]:
    return {"model_name": model._meta.verbose_name, "field_label": field.verbose_name}
