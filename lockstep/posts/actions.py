"""Writes of posts and comments. Each is one transaction; what follows from it (the mirror) leaves by delivery."""

from django.db.models.functions import Now

from lockstep.api.errors import NotFound
from lockstep.changes.attribution import attributed_transaction
from lockstep.posts.models import Comment, Post


def create_post(*, actor: str, title: str, body: str) -> Post:
    """A new post of ours."""
    with attributed_transaction(actor=actor):
        return Post.objects.create(title=title, body=body)


def update_post(*, actor: str, number: int, title: str, body: str) -> None:
    """Replaces title and body. Raises NotFound."""
    with attributed_transaction(actor=actor):
        _changed(Post.objects.alive().filter(number=number).update(title=title, body=body), f"post {number}")


def delete_post(*, actor: str, number: int) -> None:
    """Deletes the post and its comments. Raises NotFound."""
    with attributed_transaction(actor=actor):
        _changed(Post.objects.alive().filter(number=number).update(deleted=Now()), f"post {number}")


def create_comment(*, actor: str, post_number: int, name: str, email: str, body: str) -> Comment:
    """A new comment on a post, whose row is locked so that it cannot be deleted meanwhile. Raises NotFound."""
    with attributed_transaction(actor=actor):
        post = Post.objects.alive().select_for_update(no_key=True).filter(number=post_number).first()
        if post is None:
            raise NotFound(f"There is no post {post_number}.")
        return Comment.objects.create(post=post, name=name, email=email, body=body)


def update_comment(*, actor: str, post_number: int, number: int, name: str, email: str, body: str) -> None:
    """Replaces name, email and body. Raises NotFound, also when the comment is another post's."""
    with attributed_transaction(actor=actor):
        comments = Comment.objects.alive().filter(number=number, post__number=post_number)
        _changed(comments.update(name=name, email=email, body=body), f"comment {number} on post {post_number}")


def delete_comment(*, actor: str, post_number: int, number: int) -> None:
    """Deletes one comment. Raises NotFound, also when the comment is another post's."""
    with attributed_transaction(actor=actor):
        comments = Comment.objects.alive().filter(number=number, post__number=post_number)
        _changed(comments.update(deleted=Now()), f"comment {number} on post {post_number}")


def _changed(rows: int, what: str) -> None:
    if not rows:
        raise NotFound(f"There is no {what}.")
