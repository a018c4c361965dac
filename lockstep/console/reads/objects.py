"""One object: its changes page by page, where each of them is, and what other systems have."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import models

from lockstep import console
from lockstep.changes.capture import captured
from lockstep.conf import lockstep_settings
from lockstep.console.reads.changes import NEWEST, ChangeRow
from lockstep.console.reads.rows import read_rows
from lockstep.sql import statements

SQL = statements(console.__file__, "objects")


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Some changes of an object, newest first; `older` is the number before which the next page begins."""

    changes: list[ChangeRow]
    older: int | None = None


def labels_of(model: str) -> tuple[str, ...]:
    """The label, and those that the model had before it was renamed."""
    try:
        return (model, *captured(model).was)
    except LookupError:
        return (model,)


def changes_of(models: Sequence[str], object_id: str, *, limit: int, before: int | None = None) -> ChangePage:
    """A page of the changes of one object of these labels, before a number, newest first."""
    parameters = {
        "models": list(models),
        "object_id": object_id,
        "before": NEWEST if before is None else before,
        "limit": limit + 1,
    }
    changes = [ChangeRow.of_row(row) for row in read_rows(SQL["changes"], **parameters)]
    if len(changes) > limit:
        return ChangePage(changes[:limit], older=changes[limit - 1].seq)
    return ChangePage(changes)


def model_of(label: str) -> type[models.Model] | None:
    """The captured model with this label; None for one that was removed, and for messages to single subscriptions."""
    try:
        return captured(label).model
    except LookupError:
        return None


def row_of(model: type[models.Model], object_id: str) -> models.Model | None:
    """The object's row, deleted or not; None where there is none."""
    try:
        return model._base_manager.using(lockstep_settings.DATABASE).filter(pk=object_id).first()
    except (ValidationError, ValueError):  # no such key is possible
        return None
