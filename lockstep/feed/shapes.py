"""Representations of changes."""

from lockstep.changes.models import LoggedChange
from lockstep.changes.readers import Part
from lockstep.delivery.documents import shown_document
from lockstep.delivery.subscriptions import Change

Logged = LoggedChange | Change  # read by the ORM or by the feed


def serialize_change(change: Logged) -> dict[str, object]:
    """The representation of a change, with all its columns."""
    return {
        "seq": change.seq,
        "at": change.at,
        "type": f"{change.model}.{change.kind}",
        "model": change.model,
        "object_id": change.object_id,
        "kind": change.kind,
        "before": shown_document(change.model, change.before),
        "after": shown_document(change.model, change.after),
        "actor": change.actor,
        "origin": change.origin,
        "trace": change.trace,
    }


def differences(model: str, part: Logged | Part) -> dict[str, dict[str, object]]:
    """{column: {"before", "after"}} of changed columns; of all columns for a created or deleted object."""
    before, after = (shown_document(model, document) or {} for document in (part.before, part.after))
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }
