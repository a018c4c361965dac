"""A push of one object: sent once, under the right id, and read back."""

import asyncio
from typing import Any, cast

import psycopg
import pytest

from backend.posts.mirror import COMMENTS, JSONPLACEHOLDER, POSTS
from backend.posts.models import Comment, Post
from backend.providers.jsonplaceholder import JsonPlaceholder
from lockstep.delivery.errors import DependencyPending, Rejected, RetryLater, Unreachable
from lockstep.mirror.collections import Client
from lockstep.mirror.models import RemoteObject
from lockstep.mirror.push import MAX_BODY_BYTES, Pusher
from lockstep.mirror.remote import Pool, Remote
from lockstep.mirror.tests.support import Provider, push, run_import, with_client

pytestmark = pytest.mark.slow  # whole exchanges with a provider


@pytest.fixture
def post(transactional_db: None) -> Post:
    return Post.objects.create(title="ours", body="b")


def remote(row: Post | Comment) -> RemoteObject:
    return RemoteObject.objects.get(object_id=row.pk)


def test_a_creation_takes_the_providers_id_and_is_verified(provider: Provider, post: Post):
    assert push(post) is True
    assert provider.posts()[11] == {"id": 11, "userId": 99999942, "title": "ours", "body": "b"}
    assert remote(post).remote_id == "11"
    assert remote(post).verified_at >= remote(post).acknowledged_at


def test_pushing_twice_creates_once(provider: Provider, post: Post):
    push(post)
    push(post)
    assert len(provider.posts()) == 11


def test_an_update_replaces_the_copy(provider: Provider, post: Post):
    push(post)
    Post.objects.update(title="edited")
    push(post)
    assert provider.posts()[11]["title"] == "edited"


def test_a_deletion_removes_the_copy_and_all_that_we_knew_of_it(provider: Provider, post: Post):
    push(post)
    assert push(post, deleted=True) is True
    assert 11 not in provider.posts()
    assert not RemoteObject.objects.filter(object_id=post.pk).exists()


def test_deleting_an_object_that_was_never_sent_makes_no_request(provider: Provider, post: Post):
    assert push(post, deleted=True) is True
    assert provider.server.counts() == {}


def test_deleting_a_missing_copy_succeeds(provider: Provider, post: Post):
    push(post)
    provider.http.delete("/posts/11")
    assert push(post, deleted=True) is True


def test_a_comment_arrives_under_the_providers_id_of_its_post(provider: Provider, post: Post):
    Post.objects.update(number=500)
    comment = Comment.objects.create(post=post, name="n", email="e@example.com", body="b")
    with pytest.raises(DependencyPending, match="parent"):
        push(comment)
    push(post)
    push(comment)
    assert provider.comments()[21]["postId"] == 11


def test_a_copy_deleted_at_the_provider_is_created_again(provider: Provider, post: Post):
    push(post)
    provider.http.post("/posts", json={"userId": 1, "title": "foreign", "body": "b"})
    provider.http.delete("/posts/11")
    Post.objects.update(title="edited")
    push(post)
    assert [number for number, row in provider.posts().items() if row["title"] == "edited"] == [13]


@pytest.mark.parametrize("loss", [{"status": 500}, {"status": 504}, {"cut": True}])
def test_a_creation_whose_answer_was_lost_is_looked_up_before_it_is_sent_again(
    provider: Provider, post: Post, loss: dict
):
    provider.faults(methods=["POST"], after_effect=True, times=1, **loss)
    with pytest.raises(RetryLater):
        push(post)
    assert remote(post).remote_id is None
    assert push(post) is True
    assert provider.writes()["POST"] == 1
    assert remote(post).remote_id == "11"
    assert len(provider.posts()) == 11


def test_a_creation_whose_answer_was_lost_is_found_although_it_was_edited_since(provider: Provider, post: Post):
    provider.faults(methods=["POST"], after_effect=True, times=1, status=500)
    with pytest.raises(RetryLater):
        push(post)
    Post.objects.update(title="edited since", body="x" * 3000)
    push(post)
    assert len(provider.posts()) == 11
    assert provider.posts()[11]["title"] == "edited since"


def test_a_creation_whose_answer_was_lost_is_found_and_deleted(provider: Provider, post: Post):
    provider.faults(methods=["POST"], after_effect=True, times=1, cut=True)
    with pytest.raises(RetryLater):
        push(post)
    push(post, deleted=True)
    assert len(provider.posts()) == 10


def test_a_creation_that_did_not_arrive_is_sent_again(provider: Provider, post: Post):
    provider.faults(methods=["POST"], times=1, status=500)
    with pytest.raises(RetryLater):
        push(post)
    push(post)
    assert provider.writes()["POST"] == 2
    assert len(provider.posts()) == 11


def test_the_look_up_does_not_take_another_objects_copy(provider: Provider, post: Post):
    """Two equal posts: the copy of the first is not the lost copy of the second."""
    push(post)
    twin = Post.objects.create(title="ours", body="b")
    provider.faults(methods=["POST"], times=1, status=500)
    with pytest.raises(RetryLater):
        push(twin)
    push(twin)
    assert remote(twin).remote_id == "12"
    assert remote(post).remote_id == "11"


def test_a_repeated_deletion_does_not_delete_the_next_object_of_the_id(provider: Provider, post: Post):
    push(post)
    provider.faults(methods=["DELETE"], after_effect=True, times=1, status=500)
    with pytest.raises(RetryLater):
        push(post, deleted=True)
    provider.http.post("/posts", json={"userId": 1, "title": "heir of 11", "body": "b"})
    assert provider.posts()[11]["title"] == "heir of 11"
    assert push(post, deleted=True) is True
    assert provider.posts()[11]["title"] == "heir of 11"


def test_a_deletion_whose_answer_was_lost_before_it_had_effect_is_sent_again(provider: Provider, post: Post):
    push(post)
    provider.faults(methods=["DELETE"], times=1, status=500)
    with pytest.raises(RetryLater):
        push(post, deleted=True)
    push(post, deleted=True)
    assert 11 not in provider.posts()


def test_a_copy_whose_update_got_no_answer_is_deleted_although_its_deletion_got_none_either(
    provider: Provider, post: Post
):
    push(post)
    Post.objects.update(title="lost and found")
    provider.faults(methods=["PUT"], after_effect=True, times=1, status=500)
    with pytest.raises(RetryLater):
        push(post)
    provider.faults(methods=["DELETE"], times=1, status=500)
    with pytest.raises(RetryLater):
        push(post, deleted=True)
    push(post, deleted=True)
    assert 11 not in provider.posts()


def test_a_copy_that_got_the_id_of_a_deletion_in_doubt_is_found_when_it_is_deleted_itself(
    provider: Provider, post: Post
):
    push(post)
    provider.faults(methods=["DELETE"], after_effect=True, times=1, status=500)
    with pytest.raises(RetryLater):
        push(post, deleted=True)
    heir = Post.objects.create(title="heir of 11", body="b")
    provider.faults(methods=["POST"], after_effect=True, times=1, cut=True)
    with pytest.raises(RetryLater):
        push(heir)
    assert provider.posts()[11]["title"] == "heir of 11"
    assert push(heir, deleted=True) is True
    assert push(post, deleted=True) is True
    assert 11 not in provider.posts()


@pytest.mark.parametrize(
    ("fault", "error", "retry_after"),
    [
        ({"status": 429, "retry_after": 7}, RetryLater, 7.0),
        ({"status": 503}, RetryLater, None),
        ({"status": 422}, Rejected, None),
    ],
)
def test_each_refusal_has_its_error(
    provider: Provider, post: Post, fault: dict, error: type, retry_after: float | None
):
    provider.faults(methods=["POST"], **fault)
    with pytest.raises(error) as caught:
        push(post)
    assert getattr(caught.value, "after", None) == retry_after


def test_a_provider_that_is_down_is_unreachable_and_nothing_was_created(post: Post):
    with pytest.raises(Unreachable):
        push(post)
    assert remote(post).intent is None


def test_acknowledged_is_not_verified(amnesiac: Provider, post: Post):
    assert push(post) is False
    known = remote(post)
    assert (known.remote_id, known.verified_at) == ("11", None)
    assert known.unkept_at >= known.acknowledged_at


def test_objects_of_a_provider_without_storage_share_one_id(amnesiac: Provider, post: Post):
    other = Post.objects.create(title="other", body="b")
    comment = Comment.objects.create(post=post, name="n", email="e@example.com", body="b")
    assert [push(post), push(other), push(comment)] == [False, False, False]
    assert (remote(post).remote_id, remote(other).remote_id) == ("11", "11")


def test_a_reissued_id_belongs_to_its_new_object(provider: Provider, post: Post):
    push(post)
    provider.http.delete("/posts/11")
    heir = Post.objects.create(title="heir", body="b")
    push(heir)
    assert (remote(heir).remote_id, remote(post).remote_id) == ("11", None)
    push(post)
    assert {row["title"] for row in provider.posts().values()} >= {"heir", "ours"}


def test_an_update_under_a_reissued_id_is_not_acknowledged(
    provider: Provider, post: Post, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    """The PUT of the one and the POST of the other cross on their way."""
    push(post)
    update = JsonPlaceholder.update

    async def update_late(self: JsonPlaceholder, *arguments: Any) -> None:
        await update(self, *arguments)
        database.execute("UPDATE lockstep_mirror_remoteobject SET remote_id = NULL")

    monkeypatch.setattr(JsonPlaceholder, "update", update_late)
    Post.objects.update(title="edited")
    with pytest.raises(RetryLater, match="given to another object"):
        push(post)


def test_equal_posts_whose_creations_got_no_answer_each_find_a_copy_of_their_own(provider: Provider, post: Post):
    twins = [post, *(Post.objects.create(title="ours", body="b") for _ in range(3))]
    provider.faults(methods=["POST"], after_effect=True, cut=True, times=4)
    for twin in twins:
        with pytest.raises(RetryLater):
            push(twin)
    provider.faults()
    for twin in twins:
        push(twin)
    assert len(provider.posts()) == 14
    assert {remote(twin).remote_id for twin in twins} == {"11", "12", "13", "14"}


def test_objects_too_large_for_the_providers_list_are_refused_before_sending(provider: Provider, post: Post):
    Post.objects.update(body="x" * (MAX_BODY_BYTES + 1))
    with pytest.raises(Rejected, match="exceed the limit"):
        push(post)
    assert provider.writes() == {}


@pytest.mark.parametrize(("method", "deleted"), [("PUT", False), ("DELETE", True)])
def test_an_acknowledged_write_without_effect_is_retried_where_writes_persist(
    provider: Provider, post: Post, method: str, deleted: bool
):
    push(post)
    push(Post.objects.create(title="kept", body="b"))
    Post.objects.filter(pk=post.pk).update(title="edited")
    provider.faults(methods=[method], ignored=True, times=1)
    with pytest.raises(RetryLater, match="acknowledged it and does not show it"):
        push(post, deleted=deleted)
    assert push(post, deleted=deleted) is True
    assert provider.posts().get(11, {}).get("title") == (None if deleted else "edited")


def test_a_deletion_that_the_provider_does_not_store_is_recorded(amnesiac: Provider):
    run_import()
    post = Post.objects.get(number=3)
    assert push(post, deleted=True) is False
    known = remote(post)
    assert (known.remote_id, known.acknowledged, known.verified_at) == ("3", None, None)
    assert known.unkept_at


def test_that_the_copy_cannot_be_read_back_is_no_failure(provider: Provider, post: Post):
    provider.faults(methods=["GET"], status=503)
    assert push(post) is False
    assert remote(post).verified_at is None
    assert remote(post).unkept_at is None
    assert remote(post).acknowledged_at


@pytest.mark.slow
def test_one_of_two_objects_with_the_same_id_keeps_it(provider: Provider, post: Post):
    """The first is swept away and its id given again before either answer is noted."""
    push(Post.objects.create(title="shows that writes are kept", body="b"))
    others = [post, *(Post.objects.create(title=f"other {n}", body="b") for n in range(7))]

    async def acknowledge(client: Client, pool: Pool) -> None:
        remote = Remote(pool, JSONPLACEHOLDER, POSTS)
        body = {"userId": 1, "title": "t", "body": "b"}
        await asyncio.gather(*(remote.acknowledge(str(other.pk), "99", body) for other in others))

    for _ in range(20):
        with_client(acknowledge)
        assert RemoteObject.objects.filter(remote_id="99").count() == 1


def test_a_reissued_id_belongs_to_the_new_object_if_writes_persist(provider: Provider, post: Post):
    push(post)
    first, heir = (Comment.objects.create(post=post, name="n", email="e", body="b") for _ in range(2))
    body = {"postId": 11, "name": "n", "email": "e", "body": "b"}

    async def acknowledge(client: Client, pool: Pool) -> list[bool]:
        remote = Remote(pool, JSONPLACEHOLDER, COMMENTS)
        return [await remote.acknowledge(str(comment.pk), "21", body) for comment in (first, heir)]

    assert with_client(acknowledge) == [False, True]
    assert (remote(first).remote_id, remote(heir).remote_id) == (None, "21")


@pytest.mark.parametrize("seen_first", [0, 1])
def test_the_first_verified_write_decides_the_owner_of_a_doubled_id(post: Post, seen_first: int):
    """Before it, it is unknown whether the provider persists writes, and both have the id."""
    heir = Post.objects.create(title="heir", body="b")
    rows = [str(post.pk), str(heir.pk)]

    async def acknowledge_and_verify(client: Client, pool: Pool) -> tuple[list[bool], bool]:
        remote = Remote(pool, JSONPLACEHOLDER, POSTS)
        body = {"userId": 1, "title": "t", "body": "b"}
        lost = [await remote.acknowledge(row, "99", body) for row in rows]
        return lost, await remote.verify(rows[seen_first], "99")

    assert with_client(acknowledge_and_verify) == ([False, False], True)
    assert (remote(post).remote_id, remote(heir).remote_id) == (None, "99")


def test_a_push_that_decides_an_ids_owner_requests_a_reconciliation(provider: Provider, post: Post):
    """The copy is swept away, and its id given to another one, after it was read back and before that is noted."""
    heir = Post.objects.create(title="heir", body="b")
    heirs_body = {"userId": 1, "title": "heir", "body": "b"}
    requests: list[str] = []

    async def push_late(client: Client, pool: Pool) -> None:
        async def unsettled() -> None:
            requests.append("unsettled")

        class Late:
            """The client, whose answer to GET is late."""

            create = client.create

            async def get(self, collection: str, remote_id: str) -> dict[str, Any] | None:
                found = await client.get(collection, remote_id)
                await Remote(pool, JSONPLACEHOLDER, POSTS).acknowledge(str(heir.pk), remote_id, heirs_body)
                return found

        row = {"user_id": post.user_id, "title": post.title, "body": post.body}
        await Pusher(JSONPLACEHOLDER, cast("Client", Late()), pool, unsettled).push(POSTS, str(post.pk), row)

    with_client(push_late)
    assert requests == ["unsettled"]
    assert (remote(post).remote_id, remote(heir).remote_id) == (None, "11")
