"""The subscription that keeps a provider in step: state, because only the latest state of an object counts there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lockstep.delivery.audit import register_check
from lockstep.delivery.periodic import PeriodicWork, register_periodic
from lockstep.delivery.subscriptions import Handler, Pool, Subscriber, register
from lockstep.mirror.aftermath import Aftermath
from lockstep.mirror.collections import Mirror
from lockstep.mirror.drift import drift_check, mirror_check
from lockstep.mirror.push import Pusher

DEADLINE = 20.0  # seconds for one push; its few requests have their own, shorter ones


def mirror_subscriber(mirror: Mirror, aftermath: Aftermath | None = None) -> Subscriber:
    """Pushes every change of the mirror's models, except those that were imported from its provider."""
    looked_after = aftermath or Aftermath(mirror)

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        async with mirror.open_client() as client:
            yield Pusher(mirror, client, pool, lambda: looked_after.request(pool)).deliver

    return Subscriber(
        name=mirror.subscription,
        kind="state",
        models=tuple(mirror.by_label),
        connect=connect,
        skip_origin=mirror.provider,
        concurrency=mirror.concurrency,
        deadline=DEADLINE,
    )


def keep_in_step(mirror: Mirror, *, drift_check_seconds: float) -> None:
    """Registers all that a worker does for a mirror: pushing, mending its aftermath, checking for drift."""
    aftermath = Aftermath(mirror)
    subscriber = mirror_subscriber(mirror, aftermath)
    register(subscriber)
    register_check(mirror_check(mirror))
    register_periodic(aftermath.work(subscriber))
    register_periodic(aftermath.watch())
    register_periodic(PeriodicWork(f"{mirror.provider}-drift", drift_check_seconds, drift_check(mirror, aftermath)))
