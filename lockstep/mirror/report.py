"""A plan and its result, as lines for people and as documents for other programs."""

from collections.abc import AsyncIterator, Callable, Iterator

from django.core.management.color import Style, no_style

from lockstep.changes.commands import counted
from lockstep.mirror.apply import Result
from lockstep.mirror.plan import Kind, Plan, Step

__all__ = ["describe_plan", "describe_result", "plan_document", "result_document"]

SHOWN = 50  # steps of one kind in one collection, unless `full`
MAX_VALUE = 70
KINDS: tuple[Kind, ...] = ("create", "update", "delete", "not_persisted")
SIGNS = {"create": "+", "update": "~", "delete": "-", "not_persisted": "?"}
COLOURS = {"create": "SUCCESS", "update": "WARNING", "delete": "ERROR", "not_persisted": "NOTICE"}  # Django's names
NOT_PERSISTED = (
    "The provider does not persist writes: it acknowledged {count:,} of ours and then did not show them. "
    "They are not pushed again."
)

Write = Callable[[str], object]


async def describe_plan(write: Write, plan: Plan, *, full: bool, stopped: str = "", style: Style | None = None) -> None:
    """Every step with its fields, then the sum; `stopped` is the reason why a worker does not repair it by itself."""
    style = style or no_style()
    for kind in KINDS:
        for collection in plan.mirror.collections:
            async with plan.steps(collection, kind) as steps:
                what = f"{kind} in {collection.name}"
                await _describe_steps(write, steps, what, None if full else SHOWN, style)
    for line in _warnings(plan, stopped):
        write(line)
    if not plan.drift:
        write(f"No drift: {counted(plan.listed.total(), 'object')} here and at the provider are equal.")
        return
    write("Plan: " + ", ".join(f"{plan.counts[kind]:,} {_verb(kind)}" for kind in KINDS) + ".")
    if plan.counts["not_persisted"]:
        write(NOT_PERSISTED.format(count=plan.counts["not_persisted"]))


async def plan_document(plan: Plan, *, full: bool, stopped: str = "") -> dict[str, object]:
    """The same as values of JSON. `left_out` is how many steps it does not name, unless `full`."""
    named = []
    for kind in KINDS:
        for collection in plan.mirror.collections:
            count = 0
            async with plan.steps(collection, kind) as steps:
                async for step in steps:
                    if count == SHOWN and not full:
                        break
                    named.append(_step_document(step))
                    count += 1
    return {
        "drift": plan.drift,
        "counts": {kind: plan.counts[kind] for kind in KINDS},
        "listed": dict(plan.listed),
        "unusable": dict(+plan.unusable),
        "mended_by_workers": plan.self_inflicted.total(),
        "stopped": stopped,
        "steps": named,
        "left_out": plan.counts.total() - len(named),
    }


async def _describe_steps(write: Write, steps: AsyncIterator[Step], what: str, limit: int | None, style: Style) -> None:
    shown = 0
    async for step in steps:
        if shown == limit:
            write(f"  … and more to {what}; --full shows all")
            return
        _describe(write, step, style)
        shown += 1


def _warnings(plan: Plan, stopped: str) -> Iterator[str]:
    """Warnings of what the steps of the plan do not show."""
    for name, count in (+plan.unusable).items():
        yield f"{name}: {counted(count, 'object')} with an id that cannot be used, left alone."
    if plan.has_shrunk:
        yield f"The provider does not show {plan.gone:,} of {counted(plan.seen, 'object')} that it had."
    self_inflicted = plan.self_inflicted.total()
    if stopped and self_inflicted:
        yield f"A worker has stopped mending: {stopped}. Run this without --plan to go on."
    elif stopped:
        yield f"A worker has stopped mending: {stopped}. That is over: its next look finds nothing to mend."
    elif self_inflicted:
        yield f"A worker mends {counted(self_inflicted, 'difference')} of these by itself."


def _verb(kind: Kind) -> str:
    return "not kept by the provider" if kind == "not_persisted" else f"to {kind}"


def _describe(write: Write, step: Step, style: Style) -> None:
    ours = f" (our {step.number})" if step.number else ""
    theirs = f" {step.remote_id}" if step.remote_id else ""
    sign = getattr(style, COLOURS[step.kind])(SIGNS[step.kind])
    write(f"{sign} {step.kind} {step.collection.name}{theirs}{ours}")
    if step.kind == "delete":
        return
    for name, there, here in step.differences:
        write(f"    {name}: {_value(there)} → {_value(here)}")


def _value(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _step_document(step: Step) -> dict[str, object]:
    """A step with its fields: the provider's value is `there`, ours is `here`."""
    differences = () if step.kind == "delete" else step.differences
    return _named(step) | {
        "differences": [{"field": name, "there": there, "here": here} for name, there, here in differences]
    }


def _named(step: Step) -> dict[str, object]:
    return {
        "kind": step.kind,
        "collection": step.collection.name,
        "object_id": step.object_id,
        "number": step.number,
        "remote_id": step.remote_id,
    }


def describe_result(write: Write, plan: Plan, result: Result, *, style: Style | None = None) -> None:
    """The applied changes, the failures with their causes, and the rest: `plan` was made after them."""
    style = style or no_style()
    for step, cause in result.failed[:SHOWN]:
        what = f"{step.kind} {step.collection.name} {step.remote_id or step.number}"
        write(f"{style.ERROR('failed')} {what}: {cause}")
    done = ", ".join(f"{result.done[kind]:,} {kind}d" for kind in ("create", "update", "delete"))
    write(f"Done: {done}; {len(result.failed):,} failed.")
    if plan.counts["not_persisted"]:
        write(NOT_PERSISTED.format(count=plan.counts["not_persisted"]))
    if plan.todo:
        write(f"{counted(plan.todo, 'difference')} left. Run this again once the cause is mended.")
    elif not plan.drift:
        write(f"{counted(plan.listed.total(), 'object')} here and at the provider are equal.")


def result_document(plan: Plan, result: Result) -> dict[str, object]:
    """The same as values of JSON, with every failure."""
    done = {kind: result.done[kind] for kind in ("create", "update", "delete")}
    failed = [_named(step) | {"cause": cause} for step, cause in result.failed]
    return {"done": done, "failed": failed, "left": plan.todo, "not_persisted": plan.counts["not_persisted"]}
