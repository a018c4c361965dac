"""The users who may read a change, and which part of it. Staff read all; each capture declares its other readers.

A row may be invisible to a user before a change, after it, or both. The user reads the change as if an invisible row
did not exist: a row that becomes invisible is deleted, one that becomes visible is created. Such a deletion has no
contents: its reader may never have seen the row.

A deletion is an ordinary change to the object's readers. Afterwards its history is only for staff, and for its owner if
the capture has one (decision 41).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from lockstep.changes.capture import EVERYBODY, STAFF, Document, Readers, Visibility, captured, captures

Kind = Literal["created", "updated", "deleted"]


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a change that a user may read."""

    kind: Kind
    before: Document | None
    after: Document | None


def readable_part(
    model: str,
    kind: Kind,
    before: Document | None,
    after: Document | None,
    *,
    user_id: str,
    is_staff: bool,
) -> Part | None:
    """The part of this change that a user may read; None when there is none."""
    if is_staff:
        return Part(kind, before, after)
    readers, hidden = _readers_of(model)
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
    """The Visibility that a row must have now, for this user to read older changes of it; None for no condition."""
    readers, _ = _readers_of(model)
    return readers if isinstance(readers, Visibility) and not is_staff else None


def may_read_object(model: str, last: Mapping[str, Any], *, user_id: str, is_staff: bool) -> bool:
    """Whether a user may read the history of an object, by its last change: {"kind", "before", "after"}.

    The history of a deleted or invisible object is for its owner and staff.
    """
    if is_staff:
        return True
    readers, _ = _readers_of(model)
    before, after = last["before"], last["after"]
    if after is None:
        return _is_owner(readers.owner if isinstance(readers, Visibility) else readers, before, user_id)
    part = readable_part(model, last["kind"], None, after, user_id=user_id, is_staff=False)
    return part is not None and part.after is not None


def event_types(*, is_staff: bool) -> list[str]:
    """The types of change that a user may read at all: "<app>.<model>.<kind>"."""
    labels = [capture.label for capture in captures() if is_staff or capture.readers != STAFF]
    return [f"{label}.{kind}" for label in labels for kind in get_args(Kind)]


def matching_patterns(event_type: str) -> set[str]:
    """The patterns that match a type, as in delivery/sql/schema.sql (followed)."""
    app, model, kind = event_type.split(".")
    return {"*", f"{app}.*", f"{app}.{model}.*", f"{app}.{model}.{kind}"}


def known_patterns(*, is_staff: bool) -> set[str]:
    """The patterns that match a type of change that a user may read at all."""
    return {pattern for event_type in event_types(is_staff=is_staff) for pattern in matching_patterns(event_type)}


def patterns_to_follow(patterns: Collection[str]) -> list[str]:
    """The patterns of logged changes that any user may read as changes with these patterns.

    With a Visibility an update may be read as a creation or a deletion.
    """
    labels = (capture.label for capture in captures() if isinstance(capture.readers, Visibility))
    as_updates = [f"{label}.updated" for label in labels if {f"{label}.created", f"{label}.deleted"} & set(patterns)]
    return list(dict.fromkeys([*patterns, *as_updates]))


def _is_reader(readers: str, before: Document | None, after: Document | None, user_id: str) -> bool:
    """Whether the user reads the change. An object that changes its owner is read by neither."""
    if readers == EVERYBODY:
        return True
    owners = {str(document[readers]) for document in (before, after) if document and document.get(readers)}
    return owners == {user_id}


def _if_visible(readers: Visibility, document: Document | None, user_id: str) -> Document | None:
    if document is None:
        return None
    is_visible = document[readers.column] == readers.value or _is_owner(readers.owner, document, user_id)
    return document if is_visible else None


def _is_owner(column: str, document: Document | None, user_id: str) -> bool:
    """Whether the column, if the document has it, names this user; STAFF and EVERYBODY are no columns."""
    return document is not None and str(document.get(column)) == user_id


def _without(hidden: Collection[str], document: Document | None) -> Document | None:
    if not hidden or document is None:
        return document
    return {name: value for name, value in document.items() if name not in hidden}


def _readers_of(label: str) -> tuple[Readers, Collection[str]]:
    """The readers of a model, by its label, and its staff-only columns; STAFF for a model that was removed."""
    try:
        capture = captured(label)
    except LookupError:
        return STAFF, ()
    return capture.readers, capture.staff_only
