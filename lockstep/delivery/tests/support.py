"""What the tests of delivery are written with: writers and subscriptions of posts."""

from functools import partial

import psycopg

from lockstep.delivery.errors import Rejected
from lockstep.delivery.subscriptions import Claim, Subscriber
from lockstep.tests.kit.steps import EPOCHS as EPOCHS
from lockstep.tests.kit.steps import Steps as Steps
from lockstep.tests.kit.steps import begin_epoch as begin_epoch
from lockstep.tests.kit.steps import subscriber_to
from lockstep.tests.kit.steps import waiting as waiting
from tests.support import without_triggers

POST = "posts.post"
subscriber = partial(subscriber_to, POST)
EVENT, STATE = subscriber("test", "event"), subscriber("test", "state")


def insert_post(connection: psycopg.Connection, title: str) -> str:
    """A new post; returns its id."""
    row = connection.execute("INSERT INTO posts_post (title, body) VALUES (%s, '') RETURNING id", [title]).fetchone()
    assert row
    return str(row[0])


def rename_post(connection: psycopg.Connection, object_id: str, title: str) -> None:
    connection.execute("UPDATE posts_post SET title = %s WHERE id = %s", [title, object_id])


def write(steps: Steps, database: psycopg.Connection, who: Subscriber, *titles: str) -> str:
    """One post with these titles one after the other, fanned out; returns its id."""
    steps.declare(who)
    post = insert_post(database, titles[0])
    for title in titles[1:]:
        rename_post(database, post, title)
    steps.fan_out()
    return post


def deliver(steps: Steps, who: Subscriber) -> list[str]:
    """Delivers all that is due; the titles in their order."""
    titles = []
    while claims := steps.claim(who):
        titles += [title_of(claim) for claim in claims]
        steps.settle(*claims)
    return titles


def title_of(claim: Claim) -> str:
    return str((claim.change.after or claim.change.before or {})["title"])


def bury(steps: Steps, who: Subscriber, cause: str = "no") -> Claim:
    """Makes a dead letter of the one change that is due."""
    [claim] = steps.claim(who)
    steps.settle(claim, error=Rejected(cause))
    return claim


def drop_from_log(database: psycopg.Connection, *posts: str) -> None:
    """Removes their changes, or all, as retention does."""
    with database.transaction(), without_triggers(database, "lockstep_change"):
        database.execute("DELETE FROM lockstep_change WHERE object_id = ANY (%s) OR %s", [list(posts), not posts])
