"""One verdict about everything, with its reasons as sentences."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from lockstep.changes.commands import counted
from lockstep.conf import lockstep_settings
from lockstep.console.links import address, letters_address
from lockstep.console.reads.overview import PAGE, Overview, SubscriptionLine
from lockstep.console.words import clock, duration, plain

State = Literal["good", "late", "bad"]
WORDS: dict[State, str] = {"good": "In step.", "late": "Not in step: late.", "bad": "Not in step."}


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence, and the page where it can be seen and mended."""

    text: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state, the reasons against "in step", and remarks that do not change it."""

    state: State
    reasons: tuple[Reason, ...]
    remarks: tuple[Reason, ...]

    @property
    def words(self) -> str:
        """The state in words."""
        return WORDS[self.state]


def judge(overview: Overview) -> Verdict:
    """The verdict on this state.

    Members of families (endpoints of users) are remarks: their receivers are other people's, and one of ten thousand
    is always away.
    """
    bad = [*_of_workers(overview), *_of_mirrors(overview), *_of_missing(overview)]
    late, remarks = list[Reason](), list(_beside(overview))
    for line in overview.lines:
        found = list((_of_family if line.is_family else _of_subscription)(line, overview.at))
        (remarks if line.is_family else bad).extend(found)
        if not found and not line.is_family and line.lag(overview.at) > lockstep_settings.CONSOLE_LATE_SECONDS:
            sentence = f"{line.name} is late: {_waiting(line, overview.at)}"
            late.append(Reason(sentence, address("subscription", line.name)))
    late.extend(_of_periodic_work(overview))
    state: State = "bad" if bad else "late" if late else "good"
    return Verdict(state, (*bad, *late), tuple(remarks))


def _of_workers(overview: Overview) -> Iterator[Reason]:
    if overview.worker_state != "ok":
        yield Reason(f"No worker delivers: {plain(overview.worker_state)}.", address("workers"))


def _of_missing(overview: Overview) -> Iterator[Reason]:
    for name in overview.missing:
        yield Reason(
            f"{name} is declared in the code, and not in the database: it gets nothing before manage.py migrate."
        )


def _beside(overview: Overview) -> Iterator[Reason]:
    """What the verdict does not count."""
    if overview.is_cut:
        many = f"{PAGE.names:,} or more subscriptions of families have waiting changes or dead letters"
        yield Reason(f"{many}: those of others are not counted.")
    if overview.worker_state != "ok":
        return
    for state, one, more in (("hanging", "hangs", "hang"), ("silent", "is silent", "are silent")):
        if count := overview.workers.get(state, 0):
            yield Reason(f"{counted(count, 'worker')} {one if count == 1 else more}.", address("workers"))


def _of_mirrors(overview: Overview) -> Iterator[Reason]:
    for provider, reason in overview.stopped_mirrors.items():
        yield Reason(f"Mending {provider} has stopped: {plain(reason)}.", address("mirrors"))


def _of_periodic_work(overview: Overview) -> Iterator[Reason]:
    if overview.late_work:
        yield Reason(f"Periodic work is late: {', '.join(overview.late_work)}.", address("workers"))


def _of_subscription(line: SubscriptionLine, now: datetime) -> Iterator[Reason]:
    """What keeps one subscription from being in step, the cause first."""
    where, waiting = address("subscription", line.name), _waiting(line, now)
    if line.disabled:
        yield Reason(f"{line.name} is disabled{_because(line.reason)}: it gets nothing.", where)
    elif not line.is_declared:
        yield Reason(f"{line.name} is not declared in the code: nothing delivers it. {waiting}", where)
    elif line.paused:
        yield Reason(f"{line.name} is paused{_because(line.reason)}. {waiting}", where)
    elif line.silent_since:
        since = f"since {clock(line.silent_since, now)}{_because(line.silent_cause)}"
        yield Reason(f"{line.name} has not answered {since}. {waiting}", where)
    elif line.full:
        yield Reason(f"{line.name} is at its cap: it goes on once half is delivered. {waiting}", where)
    elif line.failing:
        objects, fail = counted(line.failing, "object"), "fails" if line.failing == 1 else "fail"
        yield Reason(f"{objects} of {line.name} {fail}{_because(line.cause)}. {waiting}", where)
    if line.dead:
        yield Reason(f"{line.name} has {_letters(line)}.", letters_address(line.name) or where)


def _of_family(line: SubscriptionLine, now: datetime) -> Iterator[Reason]:
    where = address("subscription", line.name) or address("subscriptions")
    of = f"of {counted(line.members, 'subscription')} of {line.name}"
    if line.silent:
        yield Reason(f"{line.silent:,} {of} {'does' if line.silent == 1 else 'do'} not answer.", where)
    for count, what in ((line.paused, "paused"), (line.full, "at the cap")):
        if count:
            yield Reason(f"{count:,} {of} {'is' if count == 1 else 'are'} {what}.", where)
    if not line.is_declared:
        yield Reason(f"{line.name} is not declared in the code: nothing delivers it. {_waiting(line, now)}", where)
    elif line.failing:
        objects, fail = counted(line.failing, "object"), "fails" if line.failing == 1 else "fail"
        yield Reason(f"{objects} of {line.name} {fail}{_because(line.cause)}. {_waiting(line, now)}", where)
    elif line.lag(now) > lockstep_settings.CONSOLE_LATE_SECONDS:
        yield Reason(f"{line.name} is late: {_waiting(line, now)}", where)
    if line.dead:
        yield Reason(f"{line.name} has {_letters(line)}.", where)


def _waiting(line: SubscriptionLine, now: datetime) -> str:
    """ "312 changes wait, the oldest for 14 min."."""
    if not line.undelivered:
        return "Nothing waits."
    more = "" if line.is_exact else " or more"
    count = line.undelivered
    return f"{count:,}{more} change{'s wait' if count != 1 else ' waits'}, the oldest for {duration(line.lag(now))}."


def _letters(line: SubscriptionLine) -> str:
    return f"{line.dead:,} or more dead letters" if line.has_more_dead else counted(line.dead, "dead letter")


def _because(cause: str) -> str:
    return f" ({plain(cause)})" if cause else ""
