"""Field mapping between our posts and comments and JSONPlaceholder."""

from django.conf import settings

from backend.posts.models import Comment, Post
from backend.providers.jsonplaceholder import JsonPlaceholder
from lockstep.mirror.ceiling import Ceiling
from lockstep.mirror.collections import Collection, Field, Limits, Mirror, Parent
from lockstep.mirror.models import Import

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
    """Opens a client of the provider in the settings."""
    return JsonPlaceholder(
        settings.POSTS_PROVIDER_URL,
        concurrency=settings.POSTS_PROVIDER_CONCURRENCY,
        deadline=settings.POSTS_PROVIDER_DEADLINE,
    )


def limits() -> Limits:
    """The limits of a worker's changes at the provider."""
    ceiling = Ceiling(
        create=settings.POSTS_PROVIDER_MAX_CREATES,
        update=settings.POSTS_PROVIDER_MAX_UPDATES,
        delete=settings.POSTS_PROVIDER_MAX_DELETES,
    )
    return Limits(ceiling, settings.POSTS_PROVIDER_SECOND_LOOK_SECONDS)


JSONPLACEHOLDER = Mirror(
    provider="jsonplaceholder",
    collections=(POSTS, COMMENTS),
    open_client=open_client,
    limits=limits,
    sync_command="manage.py sync_with_fake_system",
    import_command="manage.py import_data_from_api",
    concurrency=settings.POSTS_PROVIDER_CONCURRENCY,
)


def was_imported() -> bool:
    """Whether an import was ever completed."""
    return Import.objects.filter(provider=JSONPLACEHOLDER.provider, completed__isnull=False).exists()
