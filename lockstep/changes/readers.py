"""Who may read which changes, and how much of them. Staff read all; for others each model says it beside its capture.

A row may be out of a user's sight before a change, after it, or both. The user reads the change as if the row were not
there then: what goes out of sight is a deletion, and what comes into sight is a creation. Such a deletion tells no
contents, neither new nor old: its reader may not have seen the row, and what was seen once is out of sight now.

A deletion is a change like any other to those who read the object until then. Later its history is for staff, and for
its owner where its readers name one: what was taken back is not looked up for ever (decision 41).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lockstep.changes.capture import (
    EVERYBODY,
    STAFF,
    Readers,
    Visibility,
    models_to_capture,
    readers_of,
    staff_only_of,
)

KINDS = ("created", "updated", "deleted")
Kind = Literal["created", "updated", "deleted"]
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What a user may read of a change."""

    kind: Kind
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def readable_part(
    model: str,
    kind: Kind,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    *,
    user_id: str,
    is_staff: bool,
) -> Part | None:
    """The part of this change that a user may read; None when there is none."""
    if is_staff:
        return Part(kind, before, after)
    readers, hidden = _declared(model)
    before, after = _without(hidden, before), _without(hidden, after)
    if before == after:  # only what is hidden has changed
        return None
    if not isinstance(readers, Visibility):
        return Part(kind, before, after) if _is_reader(readers, before, after, user_id) else None
    seen, sees = _if_visible(readers, before, user_id), _if_visible(readers, after, user_id)
    if seen is None and sees is None:
        return None
    if sees is None:
        return Part("deleted", before if _is_owner(readers.owner, before, user_id) else None, None)
    return Part("created" if seen is None else kind, seen, sees)


def sight(model: str, *, is_staff: bool) -> Visibility | None:
    """What has to hold of the row now, for this user to read older changes of it; None where nothing has to."""
    readers, _ = _declared(model)
    return readers if isinstance(readers, Visibility) and not is_staff else None


def may_read_object(model: str, last: Mapping[str, Any], *, user_id: str, is_staff: bool) -> bool:
    """Whether a user may read the history of an object, by its last change: {"kind", "before", "after"}.

    The history of what was deleted, or is out of sight, is for its owner and staff.
    """
    if is_staff:
        return True
    readers, _ = _declared(model)
    before, after = last["before"], last["after"]
    if after is None:
        return _is_owner(readers.owner if isinstance(readers, Visibility) else readers, before, user_id)
    part = readable_part(model, last["kind"], None, after, user_id=user_id, is_staff=False)
    return part is not None and part.after is not None


def event_types(*, is_staff: bool) -> list[str]:
    """The types of change that a user may ever read: "<app>.<model>.<kind>"."""
    models = [model for model in models_to_capture() if is_staff or readers_of(model) != STAFF]
    labels = [model._meta.label_lower for model in models]
    return [f"{label}.{kind}" for label in sorted(labels) for kind in KINDS]


def names(event_type: str) -> set[str]:
    """The patterns that take a type, as delivery/sql/schema.sql (followed) has them."""
    app, model, kind = event_type.split(".")
    return {"*", f"{app}.*", f"{app}.{model}.*", f"{app}.{model}.{kind}"}


def patterns_to_follow(patterns: Collection[str]) -> list[str]:
    """The patterns of changes in the log among which those with these patterns are, as any user may read them.

    An update may be read as a creation or a deletion, where a model has a Visibility.
    """
    labels = (model._meta.label_lower for model in models_to_capture() if isinstance(readers_of(model), Visibility))
    as_updates = [f"{label}.updated" for label in labels if {f"{label}.created", f"{label}.deleted"} & set(patterns)]
    return list(dict.fromkeys([*patterns, *as_updates]))


def _is_reader(readers: str, before: Document | None, after: Document | None, user_id: str) -> bool:
    """An object that changes hands belongs to its owner before, too."""
    if readers == EVERYBODY:
        return True
    owners = {str(document[readers]) for document in (before, after) if document and document.get(readers)}
    return owners == {user_id}


def _if_visible(readers: Visibility, document: dict[str, Any] | None, user_id: str) -> dict[str, Any] | None:
    if document is None:
        return None
    is_visible = document[readers.column] == readers.value or _is_owner(readers.owner, document, user_id)
    return document if is_visible else None


def _is_owner(column: str, document: Document | None, user_id: str) -> bool:
    """Whether the column, if the document has it, names this user; STAFF and EVERYBODY are no columns."""
    return document is not None and str(document.get(column)) == user_id


def _without(hidden: Collection[str], document: dict[str, Any] | None) -> dict[str, Any] | None:
    if not hidden or document is None:
        return document
    return {name: value for name, value in document.items() if name not in hidden}


def _declared(label: str) -> tuple[Readers, Collection[str]]:
    """The readers of a model, by its label, and its columns for staff only. A model may have been removed since."""
    model = next((one for one in models_to_capture() if one._meta.label_lower == label), None)
    return (readers_of(model), staff_only_of(model)) if model else (STAFF, ())
