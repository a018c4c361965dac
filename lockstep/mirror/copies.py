"""The copy of one object at a mirrored provider, as the console shows it."""

from collections.abc import Callable
from uuid import UUID

from lockstep.conf import lockstep_settings
from lockstep.delivery.remote_copies import RemoteCopy
from lockstep.mirror.collections import Mirror
from lockstep.mirror.models import RemoteObject

__all__ = ["state_of_copy"]

TIMES = (
    ("Acknowledged", "acknowledged_at"),
    ("Verified", "verified_at"),
    ("Found missing", "unkept_at"),
)


def copies_at(mirror: Mirror) -> Callable[[str, str], list[RemoteCopy]]:
    """The reader of a mirror's copies, for `register_remote_copies`."""

    def read(model: str, object_id: str) -> list[RemoteCopy]:
        collection = mirror.by_label.get(model)
        key = _uuid(object_id)
        if collection is None or key is None:
            return []
        rows = RemoteObject.objects.using(lockstep_settings.DATABASE)
        row = rows.filter(object_id=key, collection=mirror.key(collection.name)).first()
        if row is None:
            return [RemoteCopy(mirror.provider, collection.name, None, "It was never sent there.", False)]
        state, is_well = state_of_copy(row)
        times = tuple((name, moment) for name, column in TIMES if (moment := getattr(row, column)))
        return [RemoteCopy(mirror.provider, collection.name, row.remote_id, state, is_well, times)]

    return read


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def state_of_copy(row: RemoteObject) -> tuple[str, bool]:
    """The state of a copy as a sentence, and whether it is known to be what was sent."""
    if row.intent is not None:
        return "A write was sent and has no response: the next attempt looks whether it arrived.", False
    if row.acknowledged_at is None:
        return "It was never acknowledged.", False
    if row.acknowledged is None:
        return "Its deletion was acknowledged.", True
    if row.remote_id is None:
        return "Its copy is gone there, or its id belongs to another object by now.", False
    if row.unkept_at is not None:
        return "Acknowledged, and not found afterwards.", False
    if row.verified_at is not None:
        return "Acknowledged, and seen there afterwards.", True
    return "Acknowledged; not read back yet.", True
