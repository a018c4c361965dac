"""The subscription that keeps a provider in step: state, because only the latest state of an object counts there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lockstep.delivery.subscriptions import Handler, Pool, Subscriber
from lockstep.mirror.collections import Mirror
from lockstep.mirror.push import Pusher

DEADLINE = 60.0  # seconds for one push; its few requests have their own, shorter ones


def mirror_subscriber(mirror: Mirror) -> Subscriber:
    """Pushes every change of the mirror's models, except those that were imported from its provider."""

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        async with mirror.open_client() as client:
            yield Pusher(mirror, client, pool).deliver

    return Subscriber(
        name=mirror.subscription,
        kind="state",
        models=tuple(mirror.by_label),
        connect=connect,
        skip_origin=mirror.provider,
        concurrency=mirror.concurrency,
        deadline=DEADLINE,
    )
