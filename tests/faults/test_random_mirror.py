"""Writes at random against a provider that behaves as json-server does, with random faults: in the end it equals us.

What is hard about it is what the provider does by itself: any DELETE removes the posts whose user it does not know,
which are all of ours, and ids of deleted objects are given away again. Titles repeat, so that equal objects get lost
among each other. A failing seed can be run again: `pytest tests/faults/test_random_mirror.py -k seed7`.
"""

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings

from backend.posts.actions import create_comment, create_post, delete_post, update_comment, update_post
from backend.posts.models import Comment, Post
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.delivery import courier
from lockstep.delivery.retry import SCHEDULE
from lockstep.mirror import state
from lockstep.mirror.tests.support import run_import, run_plan
from tests.mirrored import until_in_step
from tests.support import BackgroundWorker, drained, eventually

WRITES = 60
SHORT, LONG = (1, 3), (2, *range(4, 104))

TROUBLE = (
    [],
    [],
    [{"status": 503, "share": 0.3}],
    [{"status": 429, "retry_after": 1, "share": 0.2}],
    [{"cut": True, "after_effect": True, "methods": ["POST"], "share": 0.4}],
    [{"cut": True, "after_effect": True, "methods": ["PUT", "DELETE"], "share": 0.4}],
    [{"cut": True, "share": 0.3}],
    [{"garbage": True, "share": 0.3}],
    [{"latency": 0.1, "share": 0.5}],
    [{"ids_as_strings": True}],
    [{"held": True, "methods": ["POST", "PUT", "DELETE"], "share": 0.3}],
    [{"ignored": True, "methods": ["POST", "PUT", "DELETE"], "share": 0.3}],
    [{"twice": True, "methods": ["POST", "PUT", "DELETE"], "share": 0.3}],
    [{"body": '{"error": "busy"}', "after_effect": True, "share": 0.3}],
    [{"hides": "everything", "methods": ["GET"], "seconds": 1}],
    [{"hides": "page", "methods": ["GET"], "seconds": 1}],
)


@pytest.fixture
def provider(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """All that waits waits for shorter: an hour's trouble is a minute's."""
    monkeypatch.setattr(courier, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(state, "AGES", [timedelta(seconds=seconds) for seconds in (1, 3, 10, 20)])
    monkeypatch.setattr(settings, "POSTS_PROVIDER_SECOND_LOOK_SECONDS", 2.0)  # longer than any replica is empty
    for kind in ("CREATES", "UPDATES", "DELETES"):
        monkeypatch.setattr(settings, f"POSTS_PROVIDER_MAX_{kind}", 1_000)  # no operator is here to decide
    with StandIn(posts=10, comments_per_post=2, users=10) as server:
        settings.POSTS_PROVIDER_URL = server.url
        assert run_import()[0] == 0
        yield server


class Author:
    """Writes at random, by all the ways there are."""

    def __init__(self, database: psycopg.Connection, seed: int) -> None:
        self.database = database
        self.dice = random.Random(seed)
        self.ways: list[Callable[[], None]] = [self.post, self.post, self.comment, self.comment, self.edit_post]
        self.ways += [self.edit_comment, self.delete_post, self.delete_comment, self.in_bulk, self.by_sql]

    def write(self) -> None:
        self.dice.choice(self.ways)()

    def word(self) -> str:
        return self.dice.choice(("alpha", "beta", "gamma"))

    def some_post(self) -> Post | None:
        posts = list(Post.objects.alive().order_by("number"))
        return self.dice.choice(posts) if posts else None

    def some_comment(self) -> Comment | None:
        comments = list(Comment.objects.alive().order_by("number"))
        return self.dice.choice(comments) if comments else None

    def post(self) -> None:
        create_post(actor="author", title=self.word(), body=self.word())

    def comment(self) -> None:
        if post := self.some_post():
            words = {"name": self.word(), "email": "e@example.com", "body": self.word()}
            create_comment(actor="author", post_number=post.number, **words)

    def edit_post(self) -> None:
        if post := self.some_post():
            update_post(actor="author", number=post.number, title=self.word(), body=self.word())

    def edit_comment(self) -> None:
        if comment := self.some_comment():
            words = {"name": self.word(), "email": "e@example.com", "body": "edited"}
            update_comment(actor="author", post_number=comment.post.number, number=comment.number, **words)

    def delete_post(self) -> None:
        if post := self.some_post():
            delete_post(actor="author", number=post.number)

    def delete_comment(self) -> None:
        if comment := self.some_comment():
            Comment.objects.filter(pk=comment.pk).delete()

    def in_bulk(self) -> None:
        Post.objects.alive().filter(number__gt=10).update(body=self.word())

    def by_sql(self) -> None:
        self.database.execute("UPDATE posts_post SET title = %s WHERE number %% 3 = 0", [self.word()])


@pytest.mark.parametrize(
    "seed",
    [
        *(pytest.param(seed, id=f"seed{seed}", marks=pytest.mark.slow) for seed in SHORT),
        *(pytest.param(seed, id=f"seed{seed}", marks=pytest.mark.faults) for seed in LONG),
    ],
)
def test_in_the_end_the_provider_equals_us(
    provider: StandIn, worker: BackgroundWorker, database: psycopg.Connection, seed: int
):
    author, dice = Author(database, seed), random.Random(-seed)
    worker.schedule = tuple(min(seconds / 60, 1) for seconds in SCHEDULE) * 3
    worker.start()
    for _ in range(WRITES):
        if dice.random() < 0.1:
            provider.release()
        if dice.random() < 0.2:
            provider.faults(*dice.choice(TROUBLE))
        author.write()
        time.sleep(dice.uniform(0, 0.1))  # so that pushes meet writes in all their stages
    provider.faults()
    provider.release()
    eventually(lambda: drained(database), "all deliveries")
    until_in_step(provider.url)
    assert database.execute("SELECT count(*) FROM lockstep_deadletter").fetchone() == (0,)
    eventually(lambda: run_plan()[0] == 0, "a plan without steps")
