"""What the console says of an object's copy at the provider."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from backend.posts.mirror import JSONPLACEHOLDER
from lockstep.delivery.remote_copies import remote_copies
from lockstep.mirror.copies import TIMES, copies_at
from lockstep.mirror.models import RemoteObject

pytestmark = pytest.mark.django_db

NOW = timezone.now()
BEFORE = NOW - timedelta(minutes=1)
SENT = {"remote_id": "7", "acknowledged": uuid4(), "acknowledged_at": BEFORE}


@pytest.mark.parametrize(
    ("columns", "state", "is_well"),
    [
        (SENT, "Acknowledged; not read back yet.", True),
        (SENT | {"verified_at": NOW}, "Acknowledged, and seen there afterwards.", True),
        (SENT | {"unkept_at": NOW}, "Acknowledged, and not found afterwards.", False),
        (SENT | {"acknowledged": None}, "Its deletion was acknowledged.", True),
        (SENT | {"remote_id": None}, "Its copy is gone there, or its id belongs to another object by now.", False),
        (
            SENT | {"intent": {"create": {}}},
            "A write was sent and has no response: the next attempt looks whether it arrived.",
            False,
        ),
        ({}, "It was never acknowledged.", False),
    ],
)
def test_a_copy_is_described_by_what_is_known_of_it(columns: dict[str, Any], state: str, is_well: bool):
    key = uuid4()
    RemoteObject.objects.create(object_id=key, collection="jsonplaceholder/posts", **columns)
    [copy] = copies_at(JSONPLACEHOLDER)("posts.post", str(key))
    assert (copy.system, copy.collection, copy.remote_id) == ("jsonplaceholder", "posts", columns.get("remote_id"))
    assert (copy.state, copy.is_well) == (state, is_well)
    assert dict(copy.times) == {name: columns[column] for name, column in TIMES if column in columns}


def test_an_object_without_a_copy_says_so_and_others_have_none():
    [copy] = remote_copies("posts.post", str(uuid4()))
    assert (copy.state, copy.is_well, copy.remote_id) == ("It was never sent there.", False, None)
    assert remote_copies("shop.product", str(uuid4())) == []
    assert remote_copies("posts.post", "no key") == []
