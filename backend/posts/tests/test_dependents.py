"""Comments go with their post, also one whose transaction is still open when the post is deleted."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import IntegrityError, connections

from backend.posts import actions
from backend.posts.models import Comment, Post
from tests.support import any_lock_waiter, eventually

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_comment_inserted_during_the_deletion_of_its_post_is_deleted(database: psycopg.Connection):
    post = Post.objects.create(title="a", body="b")
    post.refresh_from_db()

    def delete() -> None:
        try:
            actions.delete_post(actor="", number=post.number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute(
                "INSERT INTO posts_comment (post_id, name, email, body) VALUES (%s, 'n', 'e', 'b')", [post.pk]
            )
            deletion = pool.submit(delete)
            eventually(lambda: any_lock_waiter(database))
        deletion.result()
    assert Comment.objects.get().deleted is not None


@pytest.mark.parametrize("values", [{"deleted": None}, {"post": "other"}], ids=["revived", "moved"])
def test_a_comment_on_a_deleted_post_is_refused(values: dict[str, object]):
    gone, kept = (Post.objects.create(title=title, body="b") for title in "ab")
    comments = [Comment.objects.create(post=post, name="n", email="e", body="b") for post in (gone, kept)]
    Post.objects.filter(pk=gone.pk).update(deleted="2026-01-01T00:00Z")
    comment = comments["post" in values]
    with pytest.raises(IntegrityError):
        Comment.objects.filter(pk=comment.pk).update(**values | ({"post": gone} if "post" in values else {}))
