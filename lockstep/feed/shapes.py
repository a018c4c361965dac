"""Changes as clients see them."""

from typing import Any

from lockstep.changes.documents import shown_document
from lockstep.changes.models import Change as Row
from lockstep.changes.readers import Part
from lockstep.delivery.subscriptions import Change

Logged = Row | Change  # whoever read it from the log


def shown(change: Logged) -> dict[str, Any]:
    """All that the log has of a change."""
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


def differences(model: str, part: Logged | Part) -> dict[str, dict[str, Any]]:
    """{column: {"before", "after"}} of what changed; everything there is when an object comes or goes."""
    before, after = (shown_document(model, document) or {} for document in (part.before, part.after))
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }
