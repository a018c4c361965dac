"""Helpers of the tests of mirroring."""

import asyncio
from collections.abc import Awaitable, Callable
from io import StringIO
from typing import Any, TypeVar

import httpx
from django.core.management import CommandError, call_command
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from backend.posts.mirror import COMMENTS, JSONPLACEHOLDER, POSTS
from backend.posts.models import Comment, Post
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.delivery.database import open_pool
from lockstep.http.client import trusted
from lockstep.mirror.collections import Client, Collection
from lockstep.mirror.push import Pusher

T = TypeVar("T")


class Provider:
    """A stand-in; `http` writes to it as another client of the provider would."""

    def __init__(self, server: StandIn) -> None:
        self.server = server
        self.faults = server.faults
        self.http = httpx.Client(base_url=server.url, verify=trusted())

    def posts(self) -> dict[int, dict[str, Any]]:
        return {row["id"]: row for row in self.server.rows("posts")}

    def comments(self) -> dict[int, dict[str, Any]]:
        return {row["id"]: row for row in self.server.rows("comments")}

    def writes(self) -> dict[str, int]:
        """How many writing requests came, by method."""
        counts: dict[str, int] = {}
        for request, count in self.server.counts().items():
            method = request.split()[0]
            if method not in ("GET", "HEAD"):
                counts[method] = counts.get(method, 0) + count
        return counts


def with_client(work: Callable[[Client, AsyncConnectionPool[AsyncConnection[Any]]], Awaitable[T]]) -> T:
    """Runs `work` with a client of the provider and the worker's kind of connections."""

    async def run() -> T:
        async with JSONPLACEHOLDER.open_client() as client, open_pool(size=4) as pool:
            return await work(client, pool)

    return asyncio.run(run())


def push(row: Post | Comment, *, deleted: bool = False) -> bool:
    """Pushes one object as it is now, or its deletion."""
    collection: Collection = POSTS if isinstance(row, Post) else COMMENTS
    names = ("user_id", "title", "body") if isinstance(row, Post) else ("post_id", "name", "email", "body")
    row.refresh_from_db()
    after = None if deleted else {name: getattr(row, name) for name in names}
    if after and "post_id" in after:
        after["post_id"] = str(after["post_id"])
    return with_client(lambda client, pool: Pusher(JSONPLACEHOLDER, client, pool).push(collection, str(row.pk), after))


def run_command(name: str, *arguments: str) -> tuple[int, str]:
    """(exit code, all that was printed) of a management command."""
    out = StringIO()
    try:
        call_command(name, *arguments, stdout=out, stderr=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def run_import() -> tuple[int, str]:
    return run_command("import_data_from_api")


def run_plan(*arguments: str) -> tuple[int, str]:
    return run_command("sync_with_fake_system", "--plan", *arguments)


def run_sync(*arguments: str) -> tuple[int, str]:
    return run_command("sync_with_fake_system", *arguments)


def ours() -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    """Posts and comments as we have them, by number."""
    posts = {
        post.number: {"userId": post.user_id, "id": post.number, "title": post.title, "body": post.body}
        for post in Post.objects.alive().order_by("number")
    }
    comments = {
        one.number: {
            "postId": one.post.number,
            "id": one.number,
            "name": one.name,
            "email": one.email,
            "body": one.body,
        }
        for one in Comment.objects.alive().select_related("post").order_by("number")
    }
    return posts, comments
