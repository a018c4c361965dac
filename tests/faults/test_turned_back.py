"""A database that is older than it was: a replica that was behind is promoted, a base backup is put in its place.

No message id names two changes, and whoever follows the feed is told what he cannot know.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from conftest import database_url
from lockstep.delivery.following import Follower, Forgotten, Place
from lockstep.delivery.subscriptions import Claim
from lockstep.delivery.tests.support import Steps, begin_epoch, insert_post, subscriber
from lockstep.launcher.postgres import Server
from tests.faults.second_servers import back_up, database_of, promoted

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

Start = Callable[[Server], AbstractContextManager[Server]]


@contextmanager
def in_place(copy: Server) -> Iterator[Server]:
    """The base backup in the place of the data, as it is."""
    with copy:
        yield copy


def deliver(steps: Steps) -> list[Claim]:
    found: list[Claim] = []
    while steps.behind() and steps.fan_out():
        pass
    while claims := steps.claim(subscriber()):
        found += claims
        steps.settle(*claims)
    return found


def read_on(follower: Follower, place: Place) -> list[str]:
    """Titles of all that there is after a place."""
    titles: list[str] = []
    while True:
        found = follower.read(place)
        titles += [change.after["title"] for _, change in found if change.after]
        if found:
            place = found[-1][0]
            continue
        place = follower.move_on(place)
        if place.start == place.end:
            return titles


@pytest.mark.parametrize("start", [promoted, in_place])
def test_no_id_names_two_changes_and_no_place_passes_over_one(
    start: Start, steps: Steps, database: psycopg.Connection, tmp_path: Path
):
    begin_epoch(database)
    steps.declare(subscriber())
    for n in range(5):
        insert_post(database, f"kept {n}")
    kept = {claim.message_id for claim in deliver(steps)}
    follower = Follower(database)
    before = follower.now()
    copy = back_up(database_url(), tmp_path)
    for n in range(25):
        insert_post(database, f"lost {n}")
    lost = {claim.message_id for claim in deliver(steps)}
    beyond = follower.now()
    with start(copy):
        url = database_of(copy, database_url())
        with psycopg.connect(url, autocommit=True) as older, closing(Steps(url)) as there:
            goes_on = Follower(older)
            goes_on.examine(before)
            with pytest.raises(Forgotten):
                goes_on.examine(beyond)
            for n in range(80):
                insert_post(older, f"new {n}")
            with pytest.raises(Forgotten):
                goes_on.examine(beyond)
            assert read_on(goes_on, before) == [f"new {n}" for n in range(80)]
            new = {claim.message_id for claim in deliver(there)}
            assert (len(kept), len(lost), len(new), new & (lost | kept)) == (5, 25, 80, set())
