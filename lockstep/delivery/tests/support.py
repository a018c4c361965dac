"""What the tests of delivery are written with: writers and subscriptions of posts."""

from functools import partial

import psycopg

from lockstep.tests.kit.steps import EPOCHS as EPOCHS
from lockstep.tests.kit.steps import Steps as Steps
from lockstep.tests.kit.steps import begin_epoch as begin_epoch
from lockstep.tests.kit.steps import subscriber_to
from lockstep.tests.kit.steps import waiting as waiting

POST = "posts.post"
subscriber = partial(subscriber_to, POST)


def insert_post(connection: psycopg.Connection, title: str) -> str:
    """A new post; returns its id."""
    row = connection.execute("INSERT INTO posts_post (title, body) VALUES (%s, '') RETURNING id", [title]).fetchone()
    assert row
    return str(row[0])


def rename_post(connection: psycopg.Connection, object_id: str, title: str) -> None:
    connection.execute("UPDATE posts_post SET title = %s WHERE id = %s", [title, object_id])
