"""The printed form of a plan and its result."""

from collections.abc import AsyncIterator, Iterator

from rich.console import Console
from rich.markup import escape

from lockstep.changes.commands import counted
from lockstep.mirror.apply import Result
from lockstep.mirror.plan import Kind, Plan, Step

__all__ = ["describe_plan", "describe_result"]

SHOWN = 50  # steps of one kind in one collection, unless `full`
MAX_VALUE = 70
KINDS: tuple[Kind, ...] = ("create", "update", "delete", "not_persisted")
SIGNS = {"create": "[green]+[/]", "update": "[yellow]~[/]", "delete": "[red]-[/]", "not_persisted": "[magenta]?[/]"}
NOT_PERSISTED = (
    "The provider does not persist writes: it acknowledged {count:,} of ours and then did not show them. "
    "They are not pushed again."
)


async def describe_plan(console: Console, plan: Plan, *, full: bool, stopped: str = "") -> None:
    """Every step with its fields, then the sum; `stopped` is the reason why a worker does not repair it by itself."""
    for kind in KINDS:
        for collection in plan.mirror.collections:
            async with plan.steps(collection, kind) as steps:
                await _describe_steps(console, steps, f"{kind} in {collection.name}", SHOWN if not full else None)
    for line in _warnings(plan, stopped):
        console.print(line)
    if not plan.drift:
        console.print(f"No drift: {counted(plan.listed.total(), 'object')} here and at the provider are equal.")
        return
    console.print("Plan: " + ", ".join(f"{plan.counts[kind]:,} {_verb(kind)}" for kind in KINDS) + ".")
    if plan.counts["not_persisted"]:
        console.print(NOT_PERSISTED.format(count=plan.counts["not_persisted"]))


async def _describe_steps(console: Console, steps: AsyncIterator[Step], what: str, limit: int | None) -> None:
    shown = 0
    async for step in steps:
        if shown == limit:
            console.print(f"  … and more to {what}; --full shows all")
            return
        _describe(console, step)
        shown += 1


def _warnings(plan: Plan, stopped: str) -> Iterator[str]:
    """Warnings of what the steps of the plan do not show."""
    for name, count in (+plan.unusable).items():
        yield f"{name}: {counted(count, 'object')} with an id that cannot be used, left alone."
    if plan.has_shrunk:
        yield f"[bold]The provider does not show {plan.gone:,} of {plan.seen:,} objects that it had.[/]"
    self_inflicted = plan.self_inflicted.total()
    if stopped and self_inflicted:
        yield f"[bold]A worker has stopped mending: {escape(stopped)}.[/] Run this without --plan to go on."
    elif stopped:
        yield f"A worker has stopped mending: {escape(stopped)}. That is over: its next look finds nothing to mend."
    elif self_inflicted:
        yield f"A worker mends {counted(self_inflicted, 'difference')} of these by itself."


def _verb(kind: Kind) -> str:
    return "not kept by the provider" if kind == "not_persisted" else f"to {kind}"


def _describe(console: Console, step: Step) -> None:
    ours = f" (our {step.number})" if step.number else ""
    theirs = f" {step.remote_id}" if step.remote_id else ""
    console.print(f"{SIGNS[step.kind]} {step.kind} {step.collection.name}{theirs}{ours}", highlight=False)
    if step.kind == "delete":
        return
    for name, there, here in step.differences:
        console.print(f"    {name}: {_value(there)} → {_value(here)}", highlight=False)


def _value(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return escape(text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…")


def describe_result(console: Console, plan: Plan, result: Result) -> None:
    """The applied changes, the failures with their causes, and the rest: `plan` was made after them."""
    for step, cause in result.failed[:SHOWN]:
        what = f"{step.kind} {step.collection.name} {step.remote_id or step.number}"
        console.print(f"[red]failed[/] {what}: {escape(cause)}")
    done = ", ".join(f"{result.done[kind]:,} {kind}d" for kind in ("create", "update", "delete"))
    console.print(f"Done: {done}; {len(result.failed):,} failed.")
    if plan.counts["not_persisted"]:
        console.print(NOT_PERSISTED.format(count=plan.counts["not_persisted"]))
    if plan.todo:
        console.print(f"{counted(plan.todo, 'difference')} left. Run this again once the cause is mended.")
    elif not plan.drift:
        console.print(f"{counted(plan.listed.total(), 'object')} here and at the provider are equal.")
