"""Apply beside a worker: objects that a worker is pushing are waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from backend.posts.mirror import JSONPLACEHOLDER
from backend.posts.models import Post
from lockstep.delivery import lanes
from lockstep.mirror.apply import Applier, Result
from lockstep.mirror.collections import Client
from lockstep.mirror.plan import Plan
from lockstep.mirror.subscriber import mirror_subscriber
from lockstep.mirror.tests.support import Provider, run_import, with_client
from tests.support import WAIT_TIMEOUT

Pool = AsyncConnectionPool[AsyncConnection[Any]]
SUBSCRIBER = mirror_subscriber(JSONPLACEHOLDER)


@asynccontextmanager
async def held(pool: Pool, object_ids: list[str]) -> AsyncIterator[None]:
    """The lanes of these posts, as a worker holds them; given back through a connection of the same pool."""
    async with pool.connection() as connection:
        tokens = [await lanes.hold(connection, SUBSCRIBER, "posts.post", object_id) for object_id in object_ids]
    yield
    async with asyncio.timeout(WAIT_TIMEOUT), pool.connection() as connection:
        for token in tokens:
            assert token
            await lanes.release(connection, token)


async def connections_requested(pool: Pool, times: int) -> None:
    """Waits until so many more connections were requested."""
    before = pool.get_stats()["requests_num"]
    async with asyncio.timeout(WAIT_TIMEOUT):
        while pool.get_stats()["requests_num"] < before + times:
            await asyncio.sleep(0.01)


def test_waiting_for_a_lane_holds_no_connection_that_its_holder_needs(provider: Provider):
    run_import()
    posts = list(Post.objects.filter(number__lte=4))
    for post in posts:
        provider.http.patch(f"/posts/{post.number}", json={"title": "by hand"})

    async def apply(client: Client, pool: Pool) -> Result:
        async with pool.connection() as connection:
            plan = Plan(JSONPLACEHOLDER, connection)
            await plan.make(client)
            async with held(pool, [str(post.pk) for post in posts]):
                applying = asyncio.create_task(Applier(JSONPLACEHOLDER, client, pool, SUBSCRIBER).run(plan))
                await connections_requested(pool, len(posts))
            return await applying

    result = with_client(apply)
    assert (result.done, result.failed) == ({"update": len(posts)}, [])
