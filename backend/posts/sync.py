"""How far posts and comments have come at the provider, for a page of a list."""

from collections.abc import Collection as Keys
from collections.abc import Mapping
from uuid import UUID

from django.db.models import QuerySet

from backend.posts.mirror import JSONPLACEHOLDER
from lockstep.changes.commands import counted
from lockstep.mirror.collections import Collection
from lockstep.mirror.copies import state_of_copy
from lockstep.mirror.models import RemoteObject
from lockstep.models import DeadLetter, Lane


def sync_states(collection: Collection, keys: Keys[UUID]) -> Mapping[UUID, str]:
    """The state of each object in words: three queries. What waits comes before what is known of the copy."""
    of_objects = {"subscription_id": JSONPLACEHOLDER.subscription, "model": collection.label}
    texts = [str(key) for key in keys]
    copies = RemoteObject.objects.filter(object_id__in=list(keys), collection=JSONPLACEHOLDER.key(collection.name))
    states = {copy.object_id: state_of_copy(copy)[0] for copy in copies}
    lanes: QuerySet[Lane] = Lane.objects.filter(**of_objects, object_id__in=texts)
    for lane in lanes:
        failed = f" The last of {counted(lane.attempts, 'attempt')} failed: {lane.cause}" if lane.failure else ""
        states[UUID(lane.object_id)] = f"Waits.{failed}"
    letters: QuerySet[DeadLetter] = DeadLetter.objects.filter(**of_objects, object_id__in=texts, outcome=None)
    for letter in letters:
        states[UUID(letter.object_id)] = f"A dead letter: {letter.cause}"
    return {key: states.get(key, "Not sent.") for key in keys}
