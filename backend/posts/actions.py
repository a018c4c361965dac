"""Actions on posts and comments. Each is one transaction; the mirror follows by delivery."""

from django.db.models.functions import Now

from backend.posts.models import Comment, Post
from lockstep.changes.attribution import attributed_transaction
from lockstep.rest.concurrency import ANY_VERSION, Match, lock


def create_post(*, actor: str, title: str, body: str) -> Post:
    """Creates a post."""
    with attributed_transaction(actor=actor):
        return Post.objects.create(title=title, body=body)


def update_post(*, actor: str, number: int | str, title: str, body: str, match: Match = ANY_VERSION) -> None:
    """Replaces title and body. Raises NotFound, PreconditionFailed."""
    with attributed_transaction(actor=actor):
        post = _locked_post(number, match)
        Post.objects.filter(pk=post.pk).update(title=title, body=body)


def delete_post(*, actor: str, number: int | str, match: Match = ANY_VERSION) -> None:
    """Deletes the post and its comments. Raises NotFound, PreconditionFailed."""
    with attributed_transaction(actor=actor):
        post = _locked_post(number, match)
        Post.objects.filter(pk=post.pk).update(deleted=Now())


def create_comment(*, actor: str, post_number: int | str, name: str, email: str, body: str) -> Comment:
    """Creates a comment on a post, which is locked against concurrent deletion. Raises NotFound."""
    with attributed_transaction(actor=actor):
        post = _locked_post(post_number)
        return Comment.objects.create(post=post, name=name, email=email, body=body)


def update_comment(
    *,
    actor: str,
    post_number: int | str,
    number: int | str,
    name: str,
    email: str,
    body: str,
    match: Match = ANY_VERSION,
) -> None:
    """Replaces name, email and body. Raises PreconditionFailed, and NotFound, also for a comment on another post."""
    with attributed_transaction(actor=actor):
        comment = _locked_comment(post_number, number, match)
        Comment.objects.filter(pk=comment.pk).update(name=name, email=email, body=body)


def delete_comment(*, actor: str, post_number: int | str, number: int | str, match: Match = ANY_VERSION) -> None:
    """Deletes a comment. Raises PreconditionFailed, and NotFound, also for a comment on another post."""
    with attributed_transaction(actor=actor):
        comment = _locked_comment(post_number, number, match)
        Comment.objects.filter(pk=comment.pk).update(deleted=Now())


def _locked_post(number: int | str, match: Match = ANY_VERSION) -> Post:
    return lock(Post.objects.alive(), match, f"There is no post {number}.", number=number)


def _locked_comment(post_number: int | str, number: int | str, match: Match) -> Comment:
    missing = f"There is no comment {number} on post {post_number}."
    return lock(Comment.objects.alive(), match, missing, number=number, post__number=post_number)
