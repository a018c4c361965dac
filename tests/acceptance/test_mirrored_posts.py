"""The job itself, against the real json-server with JSONPlaceholder's real data: what is here is there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from django.conf import settings

from backend.posts.models import Comment, Post
from lockstep.mirror.models import RemoteObject
from lockstep.mirror.reconcile import Reconciler
from lockstep.mirror.tests.support import ours, run_import, run_plan, run_sync
from tests.acceptance.running import free_port
from tests.admin_pages import admin_of, opened
from tests.contract.providers import NodeServer, start_json_server, start_real_jsonplaceholder
from tests.mirrored import differences, in_step, theirs, until_in_step
from tests.support import BackgroundWorker, Cast, drained, eventually

pytestmark = [pytest.mark.slow, pytest.mark.needs("node"), pytest.mark.needs("npm-packages")]

POSTS = "/fakeapi/v1/posts/"
WORDS = {"name": "n", "email": "e@example.com", "body": "b"}


@pytest.fixture
def json_server(transactional_db: None, tmp_path: Path) -> Iterator[NodeServer]:
    """The persistent provider, imported."""
    with start_json_server(tmp_path) as server:
        settings.POSTS_PROVIDER_URL = server.url
        code, said = run_import()
        assert code == 0, said
        yield server


@pytest.fixture
def running(json_server: NodeServer, worker: BackgroundWorker) -> NodeServer:
    worker.start()
    return json_server


def settle(server: NodeServer, database: psycopg.Connection) -> None:
    eventually(lambda: drained(database), "all deliveries")
    until_in_step(server.url)


def test_after_the_import_both_sides_are_equal_row_by_row(json_server: NodeServer):
    posts, comments = ours()
    assert list(posts.values()) == theirs(json_server.url, "posts")
    assert list(comments.values()) == theirs(json_server.url, "comments")
    assert (len(posts), len(comments)) == (100, 500)
    assert run_plan()[0] == 0


def by_api(cast: Cast, database: psycopg.Connection) -> None:
    number = cast.owner.post(f"{POSTS}create/", {"title": "by api", "body": "b"}).json()["id"]
    comment = cast.owner.post(f"{POSTS}{number}/comments/create/", WORDS).json()["id"]
    cast.owner.put(f"{POSTS}{number}/comments/update/{comment}/", WORDS | {"body": "edited"})
    cast.owner.put(f"{POSTS}update/1/", {"title": "edited by api", "body": "b"})
    cast.owner.delete(f"{POSTS}2/comments/delete/6/")
    cast.owner.delete(f"{POSTS}delete/3/")


def by_admin(cast: Cast, database: psycopg.Connection) -> None:
    admin = admin_of(cast.staff.user)
    first, second = Post.objects.filter(number__in=[1, 2]).order_by("number")
    admin.post("/admin/posts/post/add/", {"title": "by admin", "body": "b"})
    page = f"/admin/posts/post/{first.pk}/change/"
    assert admin.post(page, opened(admin, page) | {"title": "edited by admin", "body": "b"}).status_code == 302
    assert admin.post(f"/admin/posts/post/{second.pk}/delete/", {"post": "yes"}).status_code == 302


def by_bulk_statements(cast: Cast, database: psycopg.Connection) -> None:
    posts = list(Post.objects.filter(number__lte=20))
    for post in posts:
        post.title = f"bulk {post.number}"
    Post.objects.bulk_update(posts, ["title"])
    Post.objects.bulk_create([Post(title=f"new in bulk {n}", body="b") for n in range(20)])
    Comment.objects.filter(post__number=30).delete()


def by_raw_sql(cast: Cast, database: psycopg.Connection) -> None:
    database.execute("INSERT INTO posts_post (title, body) VALUES ('by sql', 'b')")
    database.execute(
        "INSERT INTO posts_comment (post_id, name, email, body)"
        " SELECT id, 'n', 'e', 'b' FROM posts_post WHERE title = 'by sql'"
    )
    database.execute("UPDATE posts_post SET title = 'edited by sql' WHERE number = 1")
    database.execute("UPDATE posts_post SET deleted = now() WHERE number = 2")
    database.execute("DELETE FROM posts_post WHERE number = 3")
    database.execute("DELETE FROM posts_comment WHERE number BETWEEN 20 AND 25")


@pytest.mark.parametrize("write", [by_api, by_admin, by_bulk_statements, by_raw_sql])
def test_every_write_arrives(
    running: NodeServer, cast: Cast, database: psycopg.Connection, write: Callable[[Cast, psycopg.Connection], None]
):
    write(cast, database)
    settle(running, database)
    assert run_plan()[0] == 0
    new = [row for row in theirs(running.url, "posts") if row["id"] > 100]
    assert new
    assert {row["userId"] for row in new} == {99999942}


def test_a_comment_arrives_under_the_providers_id_of_its_post(running: NodeServer, database: psycopg.Connection):
    post = Post.objects.create(number=5000, title="ours is 5000", body="b")
    Comment.objects.create(post=post, **WORDS)
    settle(running, database)
    remote = int(RemoteObject.objects.get(object_id=post.pk).remote_id)
    assert remote == 101
    assert [c["postId"] for c in theirs(running.url, "comments") if c["id"] > 500] == [remote]


def test_rolled_back_changes_do_not_arrive(running: NodeServer, database: psycopg.Connection):
    with database.transaction(force_rollback=True):
        database.execute("INSERT INTO posts_post (title, body) VALUES ('never', 'b')")
        database.execute("UPDATE posts_post SET title = 'never' WHERE number = 1")
    database.execute("INSERT INTO posts_post (title, body) VALUES ('after it', 'b')")
    settle(running, database)
    assert "never" not in {row["title"] for row in theirs(running.url, "posts")}


@pytest.mark.parametrize("rounds", [25, pytest.param(200, marks=pytest.mark.faults)])
def test_writes_made_while_the_provider_is_down_arrive_once(
    transactional_db: None,
    tmp_path: Path,
    worker: BackgroundWorker,
    database: psycopg.Connection,
    cast: Cast,
    rounds: int,
):
    """Five writes a round: the long form makes a thousand.

    json-server sweeps away all posts made here with each deletion. That many a worker creates again only where it may.
    """
    settings.POSTS_PROVIDER_MAX_CREATES = max(100, 3 * rounds)
    port = free_port()
    with start_json_server(tmp_path, port) as server:
        settings.POSTS_PROVIDER_URL = server.url
        assert run_import()[0] == 0
        worker.start()
        server.kill()
        for n in range(rounds):
            number = cast.owner.post(f"{POSTS}create/", {"title": f"down {n}", "body": "b"}).json()["id"]
            cast.owner.post(f"{POSTS}{number}/comments/create/", WORDS | {"body": f"down {n}"})
            cast.owner.put(f"{POSTS}update/{number}/", {"title": f"down {n}, edited", "body": "b"})
            cast.owner.put(f"{POSTS}update/{n % 100 + 1}/", {"title": f"edited {n}", "body": "b"})
            cast.owner.delete(f"{POSTS}{n % 50 + 1}/comments/delete/{n % 50 * 5 + n % 5 + 1}/")
        assert database.execute("SELECT count(*) FROM lockstep_deadletter").fetchone() == (0,)
    with start_json_server(tmp_path, port) as server:
        eventually(lambda: drained(database) and in_step(server.url), "everything to be there", patience=300)
        assert run_plan()[0] == 0


async def _looks_at_nothing(*_: object) -> None:
    """In the place of a look for what our writes left behind."""


def test_pushes_end_against_a_provider_that_stores_nothing(
    transactional_db: None,
    tmp_path: Path,
    worker: BackgroundWorker,
    database: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
):
    with start_real_jsonplaceholder(tmp_path) as server:
        settings.POSTS_PROVIDER_URL = server.url
        # It undoes each write when the next request begins: two at once may see each other's (decision 3).
        settings.POSTS_PROVIDER_CONCURRENCY = 1
        monkeypatch.setattr(Reconciler, "request", _looks_at_nothing)
        assert run_import()[0] == 0
        worker.start()
        for n in range(5):
            Post.objects.create(title=f"forgotten {n}", body="b")
        Post.objects.filter(number=1).update(title="edited")
        Post.objects.filter(number=2).update(deleted="2026-01-01T00:00Z")
        eventually(lambda: drained(database))
        code, said = run_plan()
    assert code == 2
    assert "The provider does not persist writes" in said
    assert "0 to create, 0 to update, 0 to delete, 12 not kept by the provider" in said
    assert database.execute("SELECT count(*) FROM lockstep_deadletter").fetchone() == (0,)


def test_drift_made_by_hand(json_server: NodeServer):
    httpx.patch(f"{json_server.url}/posts/1", json={"title": "by hand"})
    httpx.delete(f"{json_server.url}/comments/500")
    httpx.post(f"{json_server.url}/posts", json={"userId": 1, "title": "by hand", "body": "b"})
    before = theirs(json_server.url, "posts"), theirs(json_server.url, "comments")
    code, said = run_plan()
    assert code == 2
    assert "Plan: 1 to create, 1 to update, 1 to delete, 0 not kept by the provider." in said
    assert (theirs(json_server.url, "posts"), theirs(json_server.url, "comments")) == before
    assert run_sync()[0] == 0
    assert in_step(json_server.url), differences(json_server.url)
    assert run_plan()[0] == 0
