"""Plans of mirrors and their application, as runs."""

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from uuid import UUID

from lockstep.changes.commands import counted
from lockstep.console.runs import (
    BATCH,
    MAX_DIFFERENCES,
    SQL,
    Claimed,
    Progress,
    RunFailed,
    RunResult,
    add_differences,
)
from lockstep.delivery.database import Connection
from lockstep.delivery.relay import declare
from lockstep.delivery.subscriptions import Pool, registered
from lockstep.http.errors import ProviderError
from lockstep.mirror.apply import Applier
from lockstep.mirror.collections import Client, Mirror, registered_mirrors
from lockstep.mirror.plan import Kind, Plan, Step
from lockstep.mirror.reconcile import Reconciler
from lockstep.mirror.state import State
from lockstep.mirror.subscriber import mirror_subscriber

MAX_VALUE = 2_000  # characters of a field that are kept
MAX_CAUSE = 500

VERBS: dict[Kind, str] = {
    "create": "to create",
    "update": "to update",
    "delete": "to delete",
    "not_persisted": "not kept by the provider",
}
CHANGED = "Not applied: it has changed since the plan."
GONE = "Not applied: it does not differ any more."

Identity = tuple[str, str, str]  # collection, our object, its id at the provider
Key = tuple[str, str, str, str]  # kind and identity: what of a step stays while others are carried out


@dataclass(frozen=True, slots=True)
class Planned:
    """One difference of the plan that is applied."""

    number: int
    kind: str
    collection: str
    object_id: str
    remote_id: str
    signature: UUID


def connections_of(provider: str) -> int:
    """How many connections the pushes of a mirror need; 0 for one that this code does not have."""
    return next((mirror.concurrency for mirror in registered_mirrors() if mirror.provider == provider), 0)


async def make_plan(run: Claimed, pool: Pool, progress: Progress) -> RunResult:
    """Compares the provider with our data, and changes nothing."""
    mirror = _mirror(run.mirror)
    async with mirror.open_client() as client, pool.connection() as connection:
        plan = Plan(mirror, connection)
        try:
            await _make(plan, client, progress)
            kept = await _keep(plan, run, pool, progress)
            summary = await _summary(plan, connection)
        finally:
            await plan.close()
    left_out = plan.counts.total() - kept
    return RunResult(_outcome(plan), summary | {"left_out": left_out})


async def apply_plan(run: Claimed, pool: Pool, progress: Progress) -> RunResult:
    """Applies those differences of a plan that are still the same. Others are named, and left alone."""
    mirror = _mirror(run.mirror)
    async with mirror.open_client() as client, pool.connection() as connection:
        planned = await _planned(run, pool)
        plan, state = Plan(mirror, connection), State(mirror, connection)
        try:
            await _make(plan, client, progress)
            matched, new = await _match(plan, planned, progress)
            await plan.verify()
            applier = await _push(plan, client, pool, matched, progress)
        finally:
            await plan.close()
        if matched:  # an old plan of which nothing is left says nothing about a stop since then
            await state.resume()
        left = await _left(mirror, client, connection, progress)
    result = applier.result
    counts = {kind: result.done[kind] for kind in ("create", "update", "delete")}
    skipped = len(planned) - len(matched)
    summary = {"done": counts, "failed": len(result.failed), "skipped": skipped, "new": new, "left": left}
    return RunResult(_result(counts, len(result.failed), skipped, new, left), summary)


def _mirror(provider: str) -> Mirror:
    """The mirror of a provider. Raises RunFailed where this code has none."""
    for mirror in registered_mirrors():
        if mirror.provider == provider:
            return mirror
    raise RunFailed(f"The worker that took it has no mirror {provider!r}.")


async def _make(plan: Plan, client: Client, progress: Progress) -> None:
    """Lists the provider and compares. Raises RunFailed where it cannot be read."""

    def show(name: str, listed: int) -> None:
        progress.step, progress.done = f"reading {name} of the provider", listed

    progress.begin("reading the provider")
    try:
        await plan.make(client, show)
    except ProviderError as error:
        reason = f"The provider could not be read, and nothing was changed: {str(error)[:MAX_CAUSE]}"
        raise RunFailed(reason) from error


async def _keep(plan: Plan, run: Claimed, pool: Pool, progress: Progress) -> int:
    """Stores the plan's differences, in the order in which they are applied, up to the limit. Returns how many."""
    progress.begin("storing the differences", min(plan.counts.total(), MAX_DIFFERENCES))
    batch: list[dict[str, object]] = []
    for one in _in_order(plan, "delete", "create", "update", "not_persisted"):
        async with one as steps:
            async for step in steps:
                if progress.done == MAX_DIFFERENCES:
                    break
                progress.done += 1
                batch.append(_row(progress.done, step))
                if len(batch) == BATCH:
                    await add_differences(pool, run, batch)
                    batch = []
    await add_differences(pool, run, batch)
    return progress.done


def _in_order(plan: Plan, *kinds: Kind) -> Iterator[AbstractAsyncContextManager[AsyncIterator[Step]]]:
    """The steps of all collections: deletions of children first, then the others with parents first."""
    for kind in kinds:
        collections = plan.mirror.collections
        for collection in reversed(collections) if kind == "delete" else collections:
            yield plan.steps(collection, kind)


def _row(number: int, step: Step) -> dict[str, object]:
    differences = () if step.kind == "delete" and step.theirs is None else step.differences
    return {
        "number": number,
        "kind": step.kind,
        "collection": step.collection.name,
        "model": step.collection.label,
        "object_id": step.object_id or "",
        "name": str(step.number or ""),
        "remote_id": step.remote_id or "",
        "fields": [
            {"field": name, "there": _truncated(there), "here": _truncated(here)} for name, there, here in differences
        ],
        "is_own": step.is_self_inflicted,
        "signature": str(signature(step)),
    }


def signature(step: Step) -> UUID:
    """The MD5 of a step with all of its values: that of another plan is the same where nothing has changed."""
    content = [step.kind, step.collection.name, step.object_id, step.remote_id, step.theirs, step.ours]
    text = json.dumps(content, sort_keys=True)
    return UUID(bytes=hashlib.md5(text.encode(), usedforsecurity=False).digest())


def _key(step: Step) -> Key:
    return step.kind, step.collection.name, step.object_id or "", step.remote_id or ""


def _truncated(value: object) -> object:
    return f"{value[:MAX_VALUE]}…" if isinstance(value, str) and len(value) > MAX_VALUE else value


async def _summary(plan: Plan, connection: Connection) -> dict[str, object]:
    """What the page of a plan says beside its differences."""
    state = State(plan.mirror, connection)
    cursor = await connection.execute(SQL["copies"], {"collections": plan.mirror.keys})
    names = ("collection", "known", "acknowledged", "verified", "not_persisted", "unanswered")
    copies = [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
    return {
        "counts": {kind: plan.counts[kind] for kind in VERBS},
        "own": plan.self_inflicted.total(),
        "listed": dict(plan.listed),
        "unusable": dict(+plan.unusable),
        "shrunk": [plan.gone, plan.seen] if plan.has_shrunk else None,
        "stopped": await state.stopped(),
        "was_imported": await state.was_imported(),
        "copies": copies,
    }


def _outcome(plan: Plan) -> str:
    if not plan.drift:
        return f"No drift: {counted(plan.listed.total(), 'object')} here and at the provider are equal."
    found = [f"{plan.counts[kind]:,} {words}" for kind, words in VERBS.items() if plan.counts[kind]]
    if unusable := plan.unusable.total():
        found.append(f"{counted(unusable, 'object')} with an id that cannot be used")
    return f"{', '.join(found)}."


async def _planned(run: Claimed, pool: Pool) -> list[Planned]:
    """The differences of the plan, copied to this run. Raises RunFailed where the plan is gone."""
    if run.plan is None:
        raise RunFailed("Nothing was changed: its plan is gone.")
    async with pool.connection() as connection:
        cursor = await connection.execute(SQL["copy_differences"], {"id": run.id, "plan": run.plan})
        return [Planned(*row) for row in await cursor.fetchall()]


async def _match(plan: Plan, planned: Iterable[Planned], progress: Progress) -> tuple[dict[Key, Planned], int]:
    """Those planned differences that are still the same, and how many others there are now.

    What has changed since the plan, or differs no more, is noted.
    """
    by_signature = {each.signature: each for each in planned}
    known = {(each.collection, each.object_id, each.remote_id) for each in by_signature.values()}
    objects = {(collection, object_id) for collection, object_id, _ in known if object_id}
    matched, found = dict[Key, Planned](), set[UUID]()
    changed, new = set[Identity](), 0
    for one in _in_order(plan, "delete", "create", "update"):
        async with one as steps:
            async for step in steps:
                mark = signature(step)
                identity = (step.collection.name, step.object_id or "", step.remote_id or "")
                if mark in by_signature:
                    matched[_key(step)] = by_signature[mark]
                    found.add(mark)
                elif identity in known or identity[:2] in objects:
                    changed.update({identity, (*identity[:2], "")})
                else:
                    new += 1
    for mark, each in by_signature.items():
        if mark not in found:
            own = (each.collection, each.object_id, each.remote_id)
            is_changed = own in changed or (bool(each.object_id) and (*own[:2], "") in changed)
            progress.note(each.number, CHANGED if is_changed else GONE)
    return matched, new


async def _push(plan: Plan, client: Client, pool: Pool, matched: dict[Key, Planned], progress: Progress) -> Applier:
    """Carries out the matched steps."""
    mirror = plan.mirror
    subscriber = next((each for each in registered() if each.name == mirror.subscription), mirror_subscriber(mirror))
    async with pool.connection() as connection:
        await declare(connection, subscriber)
    applier = Applier(mirror, client, pool, subscriber, lambda: Reconciler(mirror).request(pool))
    progress.begin("pushing", len(matched))

    def note(step: Step, failure: str) -> None:
        progress.done += 1
        progress.note(matched[_key(step)].number, failure[:MAX_CAUSE] or "done", failed=bool(failure))

    await applier.run(plan, wanted=lambda step: _key(step) in matched, carried_out=note)
    return applier


async def _left(mirror: Mirror, client: Client, connection: Connection, progress: Progress) -> int | None:
    """How many objects differ afterwards; None where the provider cannot be read."""
    plan = Plan(mirror, connection)
    try:
        await _make(plan, client, progress)
        await plan.verify()
    except RunFailed:
        return None
    finally:
        await plan.close()
    return plan.drift


def _result(counts: dict[str, int], failed: int, skipped: int, new: int, left: int | None) -> str:
    """How an application ended, as sentences."""
    done = Counter(counts)
    found = [f"{', '.join(f'{done[kind]:,} {kind}d' for kind in ('create', 'update', 'delete'))}; {failed:,} failed."]
    if skipped:
        found.append(f"{counted(skipped, 'planned difference')} had changed since the plan, and was left alone.")
    if new:
        found.append(f"{counted(new, 'difference')} not in the plan: left alone.")
    if left is None:
        found.append("The provider could not be read afterwards.")
    else:
        found.append(f"Afterwards {counted(left, 'object')} differed." if left else "Afterwards nothing differs.")
    return " ".join(found)
