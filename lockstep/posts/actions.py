"""Writes of posts and comments. Each is one transaction; what follows from it (the mirror) leaves by delivery."""

from django.db.models.functions import Now

from lockstep.api.concurrency import ANY_VERSION, Match, lock
from lockstep.changes.attribution import attributed_transaction
from lockstep.posts.models import Comment, Post


def create_post(*, actor: str, title: str, body: str) -> Post:
    """A new post of ours."""
    with attributed_transaction(actor=actor):
        return Post.objects.create(title=title, body=body)


def update_post(*, actor: str, number: int, title: str, body: str, match: Match = ANY_VERSION) -> None:
    """Replaces title and body. Raises NotFound, OutOfDate."""
    with attributed_transaction(actor=actor):
        post = _locked_post(number, match)
        Post.objects.filter(pk=post.pk).update(title=title, body=body)


def delete_post(*, actor: str, number: int, match: Match = ANY_VERSION) -> None:
    """Deletes the post and its comments. Raises NotFound, OutOfDate."""
    with attributed_transaction(actor=actor):
        post = _locked_post(number, match)
        Post.objects.filter(pk=post.pk).update(deleted=Now())


def create_comment(*, actor: str, post_number: int, name: str, email: str, body: str) -> Comment:
    """A new comment on a post, whose row is locked so that it cannot be deleted meanwhile. Raises NotFound."""
    with attributed_transaction(actor=actor):
        post = _locked_post(post_number)
        return Comment.objects.create(post=post, name=name, email=email, body=body)


def update_comment(
    *, actor: str, post_number: int, number: int, name: str, email: str, body: str, match: Match = ANY_VERSION
) -> None:
    """Replaces name, email and body. Raises OutOfDate, and NotFound, also when the comment is another post's."""
    with attributed_transaction(actor=actor):
        comment = _locked_comment(post_number, number, match)
        Comment.objects.filter(pk=comment.pk).update(name=name, email=email, body=body)


def delete_comment(*, actor: str, post_number: int, number: int, match: Match = ANY_VERSION) -> None:
    """Deletes one comment. Raises OutOfDate, and NotFound, also when the comment is another post's."""
    with attributed_transaction(actor=actor):
        comment = _locked_comment(post_number, number, match)
        Comment.objects.filter(pk=comment.pk).update(deleted=Now())


def _locked_post(number: int, match: Match = ANY_VERSION) -> Post:
    return lock(Post.objects.alive(), match, f"There is no post {number}.", number=number)


def _locked_comment(post_number: int, number: int, match: Match) -> Comment:
    missing = f"There is no comment {number} on post {post_number}."
    return lock(Comment.objects.alive(), match, missing, number=number, post__number=post_number)
