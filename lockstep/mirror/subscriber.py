"""The subscription of a mirror, of kind state: only the latest state of an object counts at the provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lockstep.delivery.audit import register_check
from lockstep.delivery.periodic import PeriodicWork, register_periodic
from lockstep.delivery.providers import Provider, register_provider
from lockstep.delivery.remote_copies import register_remote_copies
from lockstep.delivery.subscriptions import Handler, Pool, Subscriber, register
from lockstep.mirror.collections import Mirror, add_mirror
from lockstep.mirror.copies import copies_at
from lockstep.mirror.drift import drift_check, mirror_check
from lockstep.mirror.freshness import freshness_of
from lockstep.mirror.push import Pusher
from lockstep.mirror.reconcile import Reconciler

__all__ = ["mirror_subscriber", "register_mirror"]

DEADLINE = 20.0  # seconds for one push; its few requests have their own, shorter ones


def mirror_subscriber(mirror: Mirror, reconciler: Reconciler | None = None) -> Subscriber:
    """Pushes every change of the mirror's models, except those that were imported from its provider."""
    reconciling = reconciler or Reconciler(mirror)

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        async with mirror.open_client() as client:
            yield Pusher(mirror, client, pool, lambda: reconciling.request(pool)).deliver

    return Subscriber(
        name=mirror.subscription,
        kind="state",
        models=tuple(mirror.by_label),
        connect=connect,
        skip_origin=mirror.provider,
        concurrency=mirror.concurrency,
        deadline=DEADLINE,
    )


def register_mirror(mirror: Mirror, *, drift_check_seconds: float) -> None:
    """Registers a mirror and its work in workers: pushing, reconciling, checking for drift."""
    add_mirror(mirror)
    reconciler = Reconciler(mirror)
    subscriber = mirror_subscriber(mirror, reconciler)
    register(subscriber)
    register_check(mirror_check(mirror))
    register_remote_copies(copies_at(mirror))
    register_provider(Provider(mirror.provider, (mirror.subscription,), freshness_of(mirror.provider)))
    register_periodic(reconciler.work(subscriber))
    register_periodic(reconciler.watch())
    register_periodic(PeriodicWork(f"{mirror.provider}-drift", drift_check_seconds, drift_check(mirror, reconciler)))
