"""Who may read which changes, and how much of them. Staff read all; for others each model says it beside its capture.

A row may be out of a user's sight before a change, after it, or both. The user reads the change as if the row were not
there then: what goes out of sight is a deletion, and what comes into sight is a creation. Such a deletion tells no
contents, neither new nor old: its reader may not have seen the row, and what was seen once is out of sight now.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lockstep.changes.capture import EVERYBODY, STAFF, Readers, Visibility, models_to_capture, readers_of

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
    readers = _readers().get(model, STAFF)
    if is_staff:
        return Part(kind, before, after)
    if not isinstance(readers, Visibility):
        return Part(kind, before, after) if _is_reader(readers, before, after, user_id) else None
    seen, sees = _if_visible(readers, before, user_id), _if_visible(readers, after, user_id)
    if seen is None and sees is None:
        return None
    if sees is None:
        return Part("deleted", before if _is_owner(readers, before, user_id) else None, None)
    return Part("created" if seen is None else kind, seen, sees)


def sight(model: str, *, is_staff: bool) -> Visibility | None:
    """What has to hold of the row now, for this user to read older changes of it; None where nothing has to."""
    readers = _readers().get(model, STAFF)
    return readers if isinstance(readers, Visibility) and not is_staff else None


def may_read_object(model: str, last: Mapping[str, Any], *, user_id: str, is_staff: bool) -> bool:
    """Whether a user may read the history of an object, by its last change: {"kind", "before", "after"}.

    Where there is a Visibility, the history of what is out of sight, or was deleted, is for its owner and staff.
    """
    readers = _readers().get(model, STAFF)
    before, after = last["before"], last["after"]
    if not is_staff and isinstance(readers, Visibility) and after is None:
        return _is_owner(readers, before, user_id)
    part = readable_part(model, last["kind"], before, after, user_id=user_id, is_staff=is_staff)
    return part is not None and (after is None or part.after is not None)


def event_types(*, is_staff: bool) -> list[str]:
    """The types of change that a user may ever read: "<app>.<model>.<kind>"."""
    labels = [label for label, readers in _readers().items() if is_staff or readers != STAFF]
    return [f"{label}.{kind}" for label in sorted(labels) for kind in KINDS]


def names(event_type: str) -> set[str]:
    """The patterns that take a type, as delivery/sql/schema.sql (followed) has them."""
    app, model, kind = event_type.split(".")
    return {"*", f"{app}.*", f"{app}.{model}.*", f"{app}.{model}.{kind}"}


def patterns_to_follow(patterns: Collection[str]) -> list[str]:
    """The patterns of changes in the log among which those with these patterns are, as any user may read them.

    An update may be read as a creation or a deletion, where a model has a Visibility.
    """
    hidden = (label for label, readers in _readers().items() if isinstance(readers, Visibility))
    as_updates = [f"{label}.updated" for label in hidden if {f"{label}.created", f"{label}.deleted"} & set(patterns)]
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
    is_visible = document[readers.column] == readers.value or _is_owner(readers, document, user_id)
    return document if is_visible else None


def _is_owner(readers: Visibility, document: Document | None, user_id: str) -> bool:
    return document is not None and str(document[readers.owner]) == user_id


def _readers() -> dict[str, Readers]:
    return {model._meta.label_lower: readers_of(model) for model in models_to_capture()}
