"""The admin: what it writes is captured like anything else, under the name of who clicked."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backend.posts.mirror import JSONPLACEHOLDER, POSTS
from backend.posts.models import Comment, Post
from lockstep.changes.models import LoggedChange
from lockstep.delivery.models import DeadLetter, Lane, Subscription
from lockstep.mirror.models import RemoteObject
from tests.admin_pages import opened
from tests.support import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.staff.user)
    return client


@pytest.fixture
def post(db: None) -> Post:
    return Post.objects.create(number=7, title="a title", body="a body")


def last_change(model: str = "posts.post") -> tuple[str, str | None]:
    return LoggedChange.objects.filter(model=model).order_by("-seq").values_list("kind", "actor")[0]


def test_added_post_is_captured_with_its_user(admin: Client, cast: Cast):
    assert admin.post("/admin/posts/post/add/", {"title": "new", "body": "b"}).status_code == 302
    assert Post.objects.get().title == "new"
    assert last_change() == ("created", f"user:{cast.staff.user.pk}")


def test_edited_post_is_captured_with_its_user(admin: Client, cast: Cast, post: Post):
    page = f"/admin/posts/post/{post.pk}/change/"
    assert admin.post(page, opened(admin, page) | {"title": "edited"}).status_code == 302
    assert Post.objects.get().title == "edited"
    assert last_change() == ("updated", f"user:{cast.staff.user.pk}")


def test_deleting_is_soft_and_takes_the_comments_along(admin: Client, cast: Cast, post: Post):
    Comment.objects.create(post=post, name="n", email="e", body="b")
    assert admin.post(f"/admin/posts/post/{post.pk}/delete/", {"post": "yes"}).status_code == 302
    assert Post.objects.get().deleted
    assert Comment.objects.get().deleted
    assert last_change() == ("deleted", f"user:{cast.staff.user.pk}")
    assert last_change("posts.comment") == ("deleted", f"user:{cast.staff.user.pk}")


def test_the_bulk_deletion_is_soft_too(admin: Client, post: Post):
    form = {"action": "delete_selected", "_selected_action": [str(post.pk)], "post": "yes"}
    assert admin.post("/admin/posts/post/", form).status_code == 302
    assert Post.objects.get().deleted


def test_a_comment_is_added_and_keeps_its_post(admin: Client, post: Post):
    other = Post.objects.create(title="other", body="b")
    words = {"name": "n", "email": "e@example.com", "body": "b"}
    assert admin.post("/admin/posts/comment/add/", words | {"post": str(post.pk)}).status_code == 302
    comment = Comment.objects.get()
    page = f"/admin/posts/comment/{comment.pk}/change/"
    admin.post(page, opened(admin, page) | {"body": "edited", "post": str(other.pk)})
    comment.refresh_from_db()
    assert (comment.post_id, comment.body) == (post.pk, "edited")


def test_lists_have_live_objects_and_a_search(admin: Client, post: Post):
    Post.objects.create(title="gone", body="b", deleted=post.created)
    page = admin.get("/admin/posts/post/", {"q": "title"}).content.decode()
    assert "a title" in page
    assert "gone" not in page
    assert admin.get("/admin/posts/comment/").status_code == 200
    assert admin.get("/admin/").status_code == 200


def test_users_who_are_not_staff_are_redirected(client: Client, cast: Cast):
    client.force_login(cast.owner.user)
    assert client.get("/admin/posts/post/").status_code == 302


def test_the_lists_tell_how_far_each_post_has_come(admin: Client, post: Post):
    waiting, failed, known = (Post.objects.create(title=f"t{n}", body="b") for n in range(3))
    Subscription.objects.get_or_create(
        name=JSONPLACEHOLDER.subscription, defaults={"kind": "state", "follows": ["posts.*"]}
    )
    own = {"subscription_id": JSONPLACEHOLDER.subscription, "model": "posts.post"}
    Lane.objects.create(**own, object_id=str(waiting.pk), failure="failed", cause="<b>answered 503", attempts=2)
    letter = {"seq": 1, "at": timezone.now(), "message_id": failed.pk, "attempts": 1, "cause": "answered 422"}
    DeadLetter.objects.create(**own, object_id=str(failed.pk), **letter)
    collection = JSONPLACEHOLDER.key(POSTS.name)
    RemoteObject.objects.create(
        object_id=known.pk, collection=collection, remote_id="7", acknowledged=known.pk, acknowledged_at=timezone.now()
    )
    page = admin.get("/admin/posts/post/").content.decode()
    assert "Waits. The last of 2 attempts failed: &lt;b&gt;answered 503" in page
    assert "A dead letter: answered 422" in page
    assert "Acknowledged; not read back yet." in page
    assert page.count(">Not sent.<") == 1
    with CaptureQueriesContext(connection) as few:
        admin.get("/admin/posts/post/")
    Post.objects.bulk_create(Post(title=f"more {n}", body="b") for n in range(20))
    with CaptureQueriesContext(connection) as many:
        admin.get("/admin/posts/post/")
    assert len(many) == len(few)
