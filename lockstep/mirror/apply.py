"""Apply: carries out a plan under the workers' lanes, so that an object is never pushed twice at the same time."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from lockstep.delivery import lanes
from lockstep.delivery.errors import DeliveryError, RetryLater
from lockstep.delivery.subscriptions import Subscriber
from lockstep.http.errors import ProviderError
from lockstep.mirror.collection_sql import statements
from lockstep.mirror.collections import Client, Collection, Mirror
from lockstep.mirror.failures import provider_errors_as_delivery_errors
from lockstep.mirror.plan import Kind, Plan, Step
from lockstep.mirror.push import Pusher, Unsettled
from lockstep.mirror.remote import Pool, fingerprint, projection

__all__ = ["Applier"]

logger = logging.getLogger(__name__)

LANE_POLL_SECONDS = 0.1  # between attempts to hold a lane of a worker


@dataclass
class Result:
    """The result of an apply: acknowledged changes by kind, and failures."""

    done: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[Step, str]] = field(default_factory=list)


class Applier:
    """Carries out a plan with the mirror's number of concurrent requests."""

    def __init__(
        self, mirror: Mirror, client: Client, pool: Pool, subscriber: Subscriber, unsettled: Unsettled | None = None
    ) -> None:
        self.mirror = mirror
        self.client = client
        self.pool = pool
        self.subscriber = subscriber
        self.pusher = Pusher(mirror, client, pool, unsettled)
        self.result = Result()

    async def run(
        self,
        plan: Plan,
        progress: Callable[[], None] = lambda: None,
        wanted: Callable[[Step], bool] = lambda step: True,
        carried_out: Callable[[Step, str], None] = lambda step, failure: None,
    ) -> Result:
        """Carries out a plan: deletes children before parents, then creates and updates parents before children.

        Deletions come first, because some providers delete further objects (see reconcile.py). Only `wanted` steps are
        carried out. `carried_out` gets each of them with the cause of its failure; "" for none.
        """

        async def take(carry_out: Callable[[Step], Awaitable[None]], collection: Collection, *kinds: Kind) -> None:
            async with plan.steps(collection, *kinds) as steps:
                await self._all((step async for step in steps if wanted(step)), carry_out)

        async def one(step: Step) -> None:
            carried_out(step, await self._one(step))
            progress()

        for collection in reversed(self.mirror.collections):
            await take(one, collection, "delete")
        for collection in self.mirror.collections:
            await take(self._confirm_missing, collection, "create")
            await take(one, collection, "create", "update")
        return self.result

    async def _all(self, steps: AsyncIterator[Step], carry_out: Callable[[Step], Awaitable[None]]) -> None:
        """Carries out the steps with `concurrency` workers."""
        queue: asyncio.Queue[Step | None] = asyncio.Queue(maxsize=self.mirror.concurrency)

        async def work() -> None:
            while (step := await queue.get()) is not None:
                await carry_out(step)

        async with asyncio.TaskGroup() as workers:
            for _ in range(self.mirror.concurrency):
                workers.create_task(work())
            async for step in steps:
                await queue.put(step)
            for _ in range(self.mirror.concurrency):
                await queue.put(None)

    async def _confirm_missing(self, step: Step) -> None:
        """Unlinks the ids of missing copies before new ones are created, because providers reuse ids."""
        if step.object_id is None or step.remote_id is None:
            return
        with contextlib.suppress(ProviderError):  # the push will report it
            if await self.client.get(step.collection.name, step.remote_id) is None:
                await self.pusher.remotes[step.collection.name].unlink(step.object_id, step.remote_id)

    async def _one(self, step: Step) -> str:
        """Carries out a step. Returns why it failed; "" if it did not."""
        try:
            async with asyncio.timeout(self.subscriber.deadline):
                await (self._push(step) if step.object_id else self._delete_foreign(step))
        except DeliveryError as error:
            cause = str(error)
        except TimeoutError:
            cause = f"no answer within {self.subscriber.deadline:g} s"
        except Exception as error:  # a bug must not stop the other pushes
            logger.exception("%s: pushing %s failed", self.mirror.provider, step.object_id or step.remote_id)
            cause = f"{type(error).__name__}: {error}"
        else:
            self.result.done[step.kind] += 1
            return ""
        self.result.failed.append((step, cause))
        return cause

    async def _push(self, step: Step) -> None:
        """Pushes the current state of the object, which may be newer than the plan."""
        object_id = step.object_id or ""
        while not (held := await self._hold(step.collection.label, object_id)):  # noqa: ASYNC110
            await asyncio.sleep(LANE_POLL_SECONDS)
        try:
            await self.pusher.push(step.collection, object_id, await self._row(step))
        finally:
            async with self.pool.connection() as connection:
                await lanes.release(connection, held)

    async def _hold(self, label: str, object_id: str) -> tuple[int, int] | None:
        """The object's lane, unless a worker has it. Keeps no connection while waiting: the worker needs one."""
        async with self.pool.connection() as connection:
            return await lanes.hold(connection, self.subscriber, label, object_id)

    async def _row(self, step: Step) -> dict[str, object] | None:
        sql = statements(self.mirror, step.collection)["read_row"]
        async with self.pool.connection() as connection:
            cursor = await connection.execute(sql, {"object_id": step.object_id})
            row = await cursor.fetchone()
        return row[0] if row else None

    async def _delete_foreign(self, step: Step) -> None:
        """Deletes an object that exists only at the provider, unless it was linked or changed meanwhile."""
        name, remote_id = step.collection.name, step.remote_id or ""
        no_object = "00000000-0000-0000-0000-000000000000"
        if not await self.pusher.remotes[name].not_taken(no_object, [remote_id]):
            raise RetryLater("it has become an object of ours meanwhile; plan again")
        with provider_errors_as_delivery_errors():
            found = await self.client.get(name, remote_id)
            if found and fingerprint(step.collection, projection(step.collection, found)) != step.fingerprint:
                raise RetryLater("it has changed meanwhile; plan again")
            await self.client.delete(name, remote_id)
