"""Articles, which the fault suites write past Django, and subscribers to them."""

from functools import partial

import psycopg
from kit.steps import subscriber_to

ARTICLE = "blog.article"
INSERT = "INSERT INTO blog_article (title, body, secret)"  # followed by VALUES or a query
subscriber = partial(subscriber_to, ARTICLE)


def insert_article(connection: psycopg.Connection, title: str) -> str:
    """A new article; returns its id."""
    row = connection.execute(f"{INSERT} VALUES (%s, '', '') RETURNING id", [title]).fetchone()
    assert row
    return str(row[0])


def rename_article(connection: psycopg.Connection, object_id: str, title: str) -> None:
    connection.execute("UPDATE blog_article SET title = %s WHERE id = %s", [title, object_id])


def fanned_out(connection: psycopg.Connection, article: str) -> bool:
    """Whether the relay has seen this article."""
    seen = "SELECT EXISTS (SELECT FROM lockstep_lane WHERE object_id = %s)"
    return connection.execute(seen, [article]).fetchone() == (True,)
