"""Import: everything comes in, once; nothing is changed or erased by it, whatever the provider does."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections

from backend.posts.models import Comment, Post
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.changes.models import LoggedChange
from lockstep.delivery.errors import RetryLater
from lockstep.mirror import importing
from lockstep.mirror.models import Import, RemoteObject
from lockstep.mirror.tests.support import Provider, ours, push, run_command, run_import
from tests.support import BackgroundWorker, any_lock_waiter, eventually

pytestmark = pytest.mark.slow

T = TypeVar("T")


@pytest.fixture
def numbers_from_1(transactional_db: None) -> None:
    """The sequences as they are in a new database."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER SEQUENCE posts_post_number RESTART; ALTER SEQUENCE posts_comment_number RESTART")


def both(provider: Provider) -> tuple[dict, dict]:
    return provider.posts(), provider.comments()


def test_after_the_import_both_sides_are_equal_row_by_row(provider: Provider):
    code, output = run_import()
    assert code == 0
    assert "posts: 10 imported" in output
    assert "comments: 20 imported" in output
    assert ours() == both(provider)


def test_a_second_import_changes_nothing(provider: Provider):
    run_import()
    changes = LoggedChange.objects.count()
    code, output = run_import()
    assert code == 0
    assert "posts: 0 imported, 10 known before" in output
    assert LoggedChange.objects.count() == changes


def test_imports_are_captured_with_their_origin(provider: Provider):
    run_import()
    imported = LoggedChange.objects.filter(model__startswith="posts.")
    assert set(imported.values_list("kind", "origin")) == {("created", "jsonplaceholder")}
    assert imported.count() == 30


def test_the_import_is_not_echoed_back(provider: Provider, worker: BackgroundWorker):
    run_import()
    worker.start()
    Post.objects.create(title="ours", body="b")
    eventually(lambda: len(provider.posts()) == 11)
    assert provider.writes() == {"POST": 1}


def test_our_edits_and_deletions_survive_an_import(provider: Provider):
    run_import()
    Post.objects.filter(number=1).update(title="ours")
    Post.objects.filter(number=2).update(deleted="2026-01-01T00:00Z")
    run_import()
    posts, _ = ours()
    assert posts[1]["title"] == "ours"
    assert 2 not in posts


def test_new_objects_get_numbers_past_the_providers(provider: Provider):
    run_import()
    post = Post.objects.create(title="a", body="b")
    post.refresh_from_db()
    assert post.number > 10


def test_a_number_that_is_taken_here_is_not_taken_again(provider: Provider):
    Post.objects.create(number=5, title="first", body="b")
    code, _ = run_import()
    assert code == 0
    assert Post.objects.count() == 11
    assert Post.objects.get(number=5).title == "first"
    remote = RemoteObject.objects.get(collection="jsonplaceholder/posts", remote_id="5")
    assert Post.objects.get(pk=remote.object_id).number > 10


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"cut": True}, "broke off in posts"),
        ({"garbage": True}, "broke off in posts"),
        ({"status": 503}, "broke off in posts"),
        ({"cut": True, "path": "/comments"}, "broke off in comments"),
    ],
)
def test_a_broken_source_erases_nothing_and_the_next_import_goes_on(provider: Provider, fault: dict, sentence: str):
    run_import()
    before = ours()
    provider.http.post("/posts", json={"userId": 1, "title": "new", "body": "b"})
    provider.faults(**fault)
    code, output = run_import()
    assert code == 1
    assert sentence in output
    assert "Nothing was deleted" in output
    assert all(before[0][number] == row for number, row in ours()[0].items() if number in before[0])
    assert Comment.objects.count() == 20
    provider.faults()
    assert run_import()[0] == 0
    assert ours() == both(provider)


def test_an_interrupted_import_continues_where_it_stopped(provider: Provider):
    provider.faults(cut=True, path="/comments")
    assert run_import()[0] == 1
    assert not Import.objects.filter(completed__isnull=False).exists()
    provider.faults()
    assert run_import()[0] == 0
    assert ours() == both(provider)
    assert Import.objects.filter(completed__isnull=False).count() == 1


def test_an_empty_source_erases_nothing(provider: Provider, transactional_db: None):
    run_import()
    with StandIn(posts=0, comments_per_post=0) as empty:
        settings.POSTS_PROVIDER_URL = empty.url
        code, output = run_import()
    assert code == 1
    assert "returned no posts" in output
    assert len(ours()[0]) == 10


def test_a_source_that_is_down_says_so(transactional_db: None):
    code, output = run_import()
    assert code == 1
    assert "http://127.0.0.1:9 broke off in posts after 0" in output


def test_ids_as_strings_are_ids(provider: Provider):
    provider.faults(ids_as_strings=True)
    code, _ = run_import()
    assert code == 0
    assert ours() == both(provider)


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ({"userId": 1, "title": None, "body": "b"}, "title is None, not text"),
        ({"userId": "one", "title": "t", "body": "b"}, "userId is 'one', not a whole number"),
        ({"userId": 1, "title": "t"}, "body is None, not text"),
        ({"userId": 1, "title": "t\0t", "body": "b"}, "title is 't\\x00t', not text"),
        ({"userId": -1, "title": "t", "body": "b"}, "userId is -1, not a whole number"),
        ({"userId": 2**70, "title": "t", "body": "b"}, "not a whole number"),
        ({"id": 10**18 - 1, "userId": 1, "title": "t", "body": "b"}, "not a whole number"),
        ({"userId": 2**53, "title": "t", "body": "b"}, "not a whole number up to 9007199254740991"),
    ],
)
def test_unusable_elements_are_reported_and_the_rest_is_imported(provider: Provider, element: dict, reason: str):
    provider.http.post("/posts", json=element)
    code, output = run_import()
    assert code == 1
    assert "posts: 10 imported, 0 known before, 1 unusable" in output
    assert reason in output
    assert len(ours()[0]) == 10


def test_a_value_that_no_strict_parser_reads_costs_its_object_only(provider: Provider):
    provider.faults(
        methods=["GET"],
        path="/posts",
        body=r"""[
            {"id": 1, "userId": 1, "title": "first", "body": "b"},
            {"id": 2, "userId": 1, "title": "\ud800", "body": "b"},
            {"id": 3, "userId": NaN, "title": "t", "body": "b"},
            {"id": 4, "userId": 1, "title": "last", "body": "b", "score": 1e999}
        ]""",
    )
    code, output = run_import()
    assert code == 1
    assert "posts: 2 imported, 0 known before, 2 unusable" in output
    assert set(Post.objects.values_list("title", flat=True)) == {"first", "last"}


def test_a_large_id_is_imported_and_our_numbers_stay_in_range(provider: Provider):
    provider.http.post("/posts", json={"id": 2**53 - 1, "userId": 1, "title": "far", "body": "b"})
    assert run_import()[0] == 0
    far = Post.objects.get(title="far")
    assert RemoteObject.objects.get(object_id=far.pk).remote_id == str(2**53 - 1)
    post = Post.objects.create(title="ours", body="b")
    post.refresh_from_db()
    assert far.number < post.number < 10**6


def test_posts_of_ours_before_the_first_import_do_not_make_it_fail(provider: Provider, numbers_from_1: None):
    ours = [Post.objects.create(title=f"ours {n}", body="b") for n in range(3)]
    code, output = run_import()
    assert (code, Post.objects.count()) == (0, 13), output
    numbers = set(Post.objects.values_list("number", flat=True))
    assert len(numbers) == 13
    assert numbers >= set(range(1, 11))
    assert ours[0].title == Post.objects.get(number=1).title


def test_numbers_can_be_drawn_between_two_batches(
    transactional_db: None, numbers_from_1: None, monkeypatch: pytest.MonkeyPatch
):
    """Also when it is killed there: what comes last in an import is never run then."""
    monkeypatch.setattr(importing, "BATCH", 1_000)
    monkeypatch.setattr(importing, "CONCURRENCY", 1)
    taken_in = importing._take_in

    def create() -> None:
        for n in range(3):
            Post.objects.create(title=f"ours {n}", body="b")

    async def take_in_and_create(*arguments: Any) -> Any:
        taken = await taken_in(*arguments)
        await asyncio.to_thread(in_a_thread, create)
        return taken

    monkeypatch.setattr(importing, "_take_in", take_in_and_create)
    with StandIn(posts=6_000, comments_per_post=0) as large:
        settings.POSTS_PROVIDER_URL = large.url
        code, output = run_import()
    assert code == 0, output
    assert Post.objects.filter(title__startswith="ours").count() >= 6
    assert Post.objects.exclude(title__startswith="ours").count() == 6_000


def test_posts_that_are_created_while_an_import_runs_get_numbers_of_their_own(
    transactional_db: None, numbers_from_1: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importing, "BATCH", 500)
    stop = threading.Event()
    made: list[int] = []

    def create() -> None:
        while not stop.is_set():
            made.append(Post.objects.create(title="ours", body="b").number)
        connections.close_all()

    with StandIn(posts=4_000, comments_per_post=0) as large, ThreadPoolExecutor(2) as authors:
        settings.POSTS_PROVIDER_URL = large.url
        running = [authors.submit(create) for _ in range(2)]
        try:
            code, output = run_import()
        finally:
            stop.set()
        for one in running:
            one.result()
    assert code == 0, output
    assert Post.objects.count() == 4_000 + len(made)


def test_a_number_that_an_open_transaction_drew_is_left_to_it(
    provider: Provider, numbers_from_1: None, database: psycopg.Connection
):
    """It inserts it after the import has begun to wait for it."""
    with ThreadPoolExecutor(1) as other, database.transaction():
        database.execute("INSERT INTO posts_post (title, body) VALUES ('ours', 'b')")
        running = other.submit(in_a_thread, run_import)
        eventually(lambda: any_lock_waiter(database))
        database.execute("INSERT INTO posts_post (title, body) VALUES ('ours', 'b')")
    code, output = running.result()
    assert (code, Post.objects.count()) == (0, 12), output


def in_a_thread(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        connections.close_all()


def test_a_comment_without_its_post_is_reported(provider: Provider):
    provider.http.post("/comments", json={"postId": 999, "name": "n", "email": "e", "body": "b"})
    code, output = run_import()
    assert code == 1
    assert "1 whose postId names nothing that is here" in output
    assert len(ours()[1]) == 20


def test_a_creation_in_flight_is_not_imported_as_another_object(provider: Provider):
    run_import()
    post = Post.objects.create(title="under way", body="b")
    provider.faults(methods=["POST"], after_effect=True, cut=True, times=1)
    with pytest.raises(RetryLater):
        push(post)
    provider.faults()
    assert run_import()[0] == 0
    assert Post.objects.filter(title="under way").count() == 1


def test_objects_imported_before_a_failure_are_counted(transactional_db: None):
    with StandIn(posts=6_000, comments_per_post=0) as large:
        settings.POSTS_PROVIDER_URL = large.url
        large.faults(cut=True)
        _, output = run_import()
    assert Post.objects.exists()
    assert f"posts: {Post.objects.count():,} imported, 0 known before" in output


def test_import_if_never_leaves_a_completed_import_alone(provider: Provider):
    run_import()
    provider.server.forget_requests()
    assert run_command("import_data_from_api", "--if-never") == (0, "")
    assert provider.server.counts() == {}
