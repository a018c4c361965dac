"""What a subscription does and why, in sentences for operators."""

from collections.abc import Iterator

from lockstep.changes.commands import counted
from lockstep.console.reads.subscriptions import Count, State
from lockstep.console.words import clock, duration, plain


def sentences(state: State) -> list[str]:
    """Why the subscription is in its state, what waits, and what happens next."""
    return [*_condition(state), *_backlog(state)]


def amount(count: Count, noun: str) -> str:
    """ "1 change", "at least 500 changes"."""
    return f"{'at least ' if count.is_least else ''}{counted(count.number, noun)}"


def _condition(state: State) -> Iterator[str]:
    if not state.is_declared:
        yield "Not declared in the code: it fills up to its cap, and nothing delivers it."
    reason = plain(state.reason).rstrip(". ")
    if state.state == "paused":
        yield f"Paused: {reason}. Nothing is delivered until it is resumed."
    elif state.state == "disabled":
        yield f"Disabled: {reason}. Nothing is fanned out or kept for it."
    else:
        yield from _delivery(state)


def _delivery(state: State) -> Iterator[str]:
    """Whether a subscription that is not stopped delivers."""
    if state.state == "full":
        yield f"At its cap of {state.cap:,} waiting changes: no more are fanned out until half of them are delivered."
    if state.silent_since:
        yield f"Has not answered since {clock(state.silent_since, state.now)} ({plain(state.silent_cause)})."
    elif state.failing:
        yield f"The last attempt of {amount(state.failing, 'object')} failed."
    elif state.is_declared and state.state == "active":
        yield "It delivers."


def _backlog(state: State) -> Iterator[str]:
    if state.state == "disabled":
        return
    if state.resumes_at is not None and state.window_last is not None:
        yield f"It reads the log from number {state.resumes_at:,} up to {state.window_last:,}."
    if state.pending:
        oldest = f", the oldest for {duration(state.age)}" if state.oldest else ""
        verb = "waits" if state.pending.number == 1 and not state.pending.is_least else "wait"
        words = amount(state.pending, "change")
        yield f"{words[0].upper()}{words[1:]} {verb}{oldest}."
    elif state.scanned.is_least:
        yield f"The log has at least {state.scanned.number:,} changes that are not fanned out to it yet."
    else:
        yield "Nothing waits."
    if state.next_at and state.state in ("active", "full"):
        seconds = (state.next_at - state.now).total_seconds()
        yield f"Next try in {duration(seconds)}." if seconds > 0 else "The next try is due."
