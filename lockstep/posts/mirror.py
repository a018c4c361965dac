"""What of posts and comments is mirrored at JSONPlaceholder, and under which names."""

from django.conf import settings

from lockstep.mirror.ceiling import Ceiling
from lockstep.mirror.collections import Collection, Field, Limits, Mirror, Parent, register_mirror
from lockstep.posts.models import Comment, Post
from lockstep.providers.jsonplaceholder import JsonPlaceholder

POSTS = Collection(
    name="posts",
    model=Post,
    fields=(Field("userId", "user_id", "integer"), Field("title", "title"), Field("body", "body")),
    look_up=("userId", "title"),
    numbers="posts_post_number",
)
COMMENTS = Collection(
    name="comments",
    model=Comment,
    fields=(Field("name", "name"), Field("email", "email"), Field("body", "body")),
    look_up=("postId", "name", "email"),
    numbers="posts_comment_number",
    parent=Parent(remote="postId", column="post_id", collection="posts"),
)


def open_client() -> JsonPlaceholder:
    """A client of the provider that the settings name."""
    return JsonPlaceholder(
        settings.POSTS_PROVIDER_URL,
        concurrency=settings.POSTS_PROVIDER_CONCURRENCY,
        deadline=settings.POSTS_PROVIDER_DEADLINE,
    )


def limits() -> Limits:
    """How far a worker goes there by itself."""
    ceiling = Ceiling(
        create=settings.POSTS_PROVIDER_MAX_CREATES,
        update=settings.POSTS_PROVIDER_MAX_UPDATES,
        delete=settings.POSTS_PROVIDER_MAX_DELETES,
    )
    return Limits(ceiling, settings.POSTS_PROVIDER_SECOND_LOOK_SECONDS)


JSONPLACEHOLDER = Mirror("jsonplaceholder", (POSTS, COMMENTS), open_client, limits, settings.POSTS_PROVIDER_CONCURRENCY)
register_mirror(JSONPLACEHOLDER)
