"""Who may read which changes. Staff read all; for others each model says it beside what it captures."""

from collections.abc import Mapping
from typing import Any

from lockstep.changes.capture import EVERYBODY, STAFF, models_to_capture, readers_of

KINDS = ("created", "updated", "deleted")


def may_read(
    model: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, *, user_id: str, is_staff: bool
) -> bool:
    """Whether this user may read this change. An object that changes hands belongs to whom it belonged before, too."""
    readers = _readers().get(model, STAFF)
    if is_staff or readers == EVERYBODY:
        return True
    owners = {str(document[readers]) for document in (before, after) if document and document.get(readers)}
    return owners == {user_id}


def event_types(*, is_staff: bool) -> list[str]:
    """The types of change that a user may ever read: "<app>.<model>.<kind>"."""
    labels = [label for label, readers in _readers().items() if is_staff or readers != STAFF]
    return [f"{label}.{kind}" for label in sorted(labels) for kind in KINDS]


def names(event_type: str) -> set[str]:
    """The patterns that take a type, as delivery/sql/schema.sql (followed) has them."""
    app, model, kind = event_type.split(".")
    return {"*", f"{app}.*", f"{app}.{model}.*", f"{app}.{model}.{kind}"}


def _readers() -> dict[str, str]:
    return {model._meta.label_lower: readers_of(model) for model in models_to_capture()}
