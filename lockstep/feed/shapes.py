"""Representations of changes."""

from lockstep.changes.models import LoggedChange
from lockstep.changes.readers import Part
from lockstep.delivery.subscriptions import Change


def serialize_change(change: LoggedChange | Change) -> dict[str, object]:
    """The representation of a change, with all its columns."""
    return {
        "seq": change.seq,
        "at": change.at,
        "type": f"{change.model}.{change.kind}",
        "model": change.model,
        "object_id": change.object_id,
        "kind": change.kind,
        "before": change.before,
        "after": change.after,
        "actor": change.actor,
        "origin": change.origin,
        "trace": change.trace,
    }


def differences(part: Part) -> dict[str, dict[str, object]]:
    """{column: {"before", "after"}} of changed columns; of all columns for a created or deleted object."""
    before, after = part.before or {}, part.after or {}
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }
