"""Where the changes of one page are: at each subscription that follows them, or each family of subscriptions.

A subscription keeps nothing of what it has delivered, apart from recorded attempts. So a change that is fanned out,
does not wait and is no dead letter counts as done.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import TupleRow

from lockstep import console
from lockstep.changes.commands import counted
from lockstep.changes.readers import matching_patterns
from lockstep.console.reads.changes import ChangeRow
from lockstep.console.reads.rows import read_rows
from lockstep.console.words import duration
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.subscriptions import Change, registered, registered_families
from lockstep.sql import Statement, statements

SQL = statements(console.__file__, "objects")

MAX_MEMBERS = 20  # of a family that are looked at one by one
MAX_ATTEMPTS = 10  # of one message
MAX_CAUSE = 300  # characters

State = Literal["done", "waiting", "failing", "dead", "none"]


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A recorded attempt."""

    subscription: str
    seq: int
    number: int
    began: datetime
    seconds: float
    failure: str | None
    cause: str | None
    status: str | None  # of the answer, if it has one


@dataclass(frozen=True, slots=True)
class Follower:
    """A subscription that follows changes of the object; or members of a family that have the same options."""

    target: str
    is_family: bool
    kind: str
    state: str
    reason: str
    follows: list[str]
    skip_origin: str | None
    created: datetime
    members: int
    names: list[str]

    @property
    def hindrance(self) -> str:
        """Why it delivers nothing, or is given nothing: a sentence with a space before it, or ""."""
        if self.state == "paused":
            return f" The subscription is paused: {self.reason or 'no reason given'}."
        return " The subscription is at its cap." if self.state == "full" else ""

    def gets(self, change: ChangeRow) -> bool:
        """Whether it follows this change."""
        return not matching_patterns(f"{change.model}.{change.kind}").isdisjoint(self.follows)

    def skips(self, change: ChangeRow) -> bool:
        """Whether the change came from the system that it delivers to."""
        return self.skip_origin is not None and change.origin == self.skip_origin


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a target's lanes: counts of subscriptions, and the lane's state."""

    waiting: int
    failing: int
    claimed: int
    attempts: int
    failure: str | None
    cause: str | None
    due_in: float
    head: int | None  # None for a family
    names: list[str]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: of a family the newest, and how many are open."""

    open: int
    id: UUID
    name: str
    attempts: int
    cause: str
    died: datetime
    outcome: str | None
    reason: str
    settled: datetime | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where one change is at one target: a state, a sentence, and the cause where it fails.

    `troubled` are the members of a family that it names.
    """

    target: str
    is_family: bool
    state: State
    sentence: str
    cause: str = ""
    letter: Letter | None = None
    troubled: tuple[str, ...] = ()
    attempts: tuple[AttemptRow, ...] = ()


@dataclass(slots=True)
class _Found:
    """All that the database has of the deliveries of a page."""

    families: frozenset[str]
    followers: dict[str, list[Follower]] = field(default_factory=lambda: defaultdict(list))
    unplaced: dict[tuple[str, int], int] = field(default_factory=dict)
    waiting: dict[tuple[str, int], Waiting] = field(default_factory=dict)
    letters: dict[tuple[str, int], Letter] = field(default_factory=dict)

    def targets(self, seq: int) -> list[str]:
        """The names of those that follow the object, and of others where this change waits or died."""
        others = {target for target, other in (*self.waiting, *self.letters) if other == seq}
        return [*self.followers, *sorted(others - self.followers.keys())]


def deliveries(changes: Sequence[ChangeRow]) -> dict[int, list[Delivery]]:
    """The deliveries of each of these changes of one object, by its number. Six queries at most."""
    if not changes:
        return {}
    found = _find(changes)
    by_seq = {
        change.seq: [delivery for target in found.targets(change.seq) for delivery in _delivery(found, target, change)]
        for change in changes
    }
    attempts = _attempts(found, changes)
    return {
        seq: [replace(each, attempts=tuple(attempts.get((each.target, seq), ()))) for each in found_there]
        for seq, found_there in by_seq.items()
    }


def _find(changes: Sequence[ChangeRow]) -> _Found:
    """Reads what there is of the deliveries of these changes."""
    patterns = {pattern for change in changes for pattern in matching_patterns(f"{change.model}.{change.kind}")}
    families = [family.name for family in registered_families()]
    parameters: dict[str, Any] = {
        "families": families,
        "patterns": sorted(patterns),
        "models": sorted({change.model for change in changes}),
        "object_id": changes[0].object_id,
        "seqs": [change.seq for change in changes],
        "first": min(change.seq for change in changes),
        "last": max(change.seq for change in changes),
        "members": MAX_MEMBERS,
        "changes": json.dumps(
            [
                {"seq": one.seq, "model": one.model, "kind": one.kind, "origin": one.origin, "xid": one.xid}
                for one in changes
            ]
        ),
    }
    found = _Found(frozenset(families))
    for row in _of_targets("followers", "name", parameters):
        found.followers[row[0]].append(Follower(*row))
    for target, seq, count in _of_targets("unplaced", "s.name", parameters):
        found.unplaced[target, seq] = count
    for target, seq, *columns in _of_targets("waiting", "s.name", parameters):
        found.waiting[target, seq] = Waiting(*columns)
    for target, seq, *columns in _of_targets("letters", "letter.subscription_id", parameters):
        found.letters[target, seq] = Letter(*columns)
    return found


def _delivery(found: _Found, target: str, change: ChangeRow) -> Iterator[Delivery]:
    """The delivery of a change to a target; none where the target does not follow it."""
    followers = [each for each in found.followers.get(target, ()) if each.gets(change)]
    waiting, letter = found.waiting.get((target, change.seq)), found.letters.get((target, change.seq))
    if not followers and waiting is None and letter is None:
        return
    if target in found.families:
        yield _of_family(target, followers, change, found.unplaced.get((target, change.seq), 0), waiting, letter)
        return
    own = followers[0] if followers else None
    state, sentence, cause = _of_one(own, change, found.unplaced.get((target, change.seq), 0), waiting, letter)
    yield Delivery(target, False, state, sentence, cause[:MAX_CAUSE], letter)


def _of_one(
    own: Follower | None, change: ChangeRow, unplaced: int, waiting: Waiting | None, letter: Letter | None
) -> tuple[State, str, str]:
    """State, sentence and cause of a change at one subscription; `own` is None where it does not follow it."""
    if waiting:
        return _of_lane(waiting, change, own)
    if letter:
        return _of_letter(letter)
    if own is None or own.state == "disabled":
        return "none", f"Not sent: the subscription is disabled. {own.reason if own else ''}".strip(), ""
    if own.skips(change):
        return "none", f"Not sent back to {own.skip_origin}, where it came from.", ""
    if own.created > change.at:
        return "none", "Not sent: the subscription is younger.", ""
    if unplaced:
        return "waiting", f"Not fanned out yet.{own.hindrance}", ""
    return "done", "Done." if own.kind == "event" else "Done, by this state or a later one.", ""


def _of_letter(letter: Letter) -> tuple[State, str, str]:
    """State, sentence and cause of a change that is a dead letter, or was one."""
    if letter.outcome is None:
        return "dead", f"A dead letter after {counted(letter.attempts, 'attempt')}.", letter.cause
    if letter.outcome == "discarded":
        return "none", f"Its dead letter was discarded: {letter.reason or 'no reason given'}.", letter.cause
    return "done", "Done, after its dead letter was replayed.", ""


def _of_lane(waiting: Waiting, change: ChangeRow, own: Follower | None) -> tuple[State, str, str]:
    """State, sentence and cause of a change that waits in a lane."""
    hindrance = own.hindrance if own else ""
    if waiting.head is not None and waiting.head != change.seq:
        if own and own.kind == "state":
            return "waiting", "A later state is sent instead.", ""
        return "waiting", f"Waits behind change {waiting.head:,}.{hindrance}", ""
    if waiting.claimed:
        return "waiting", "Being delivered now.", ""
    cause, again = waiting.cause or "", f" Next try {_in(waiting.due_in)}.{hindrance}"
    if waiting.failure == "unreachable":
        return "failing", f"No answer.{again}", cause
    if waiting.failure == "not yet":
        return "waiting", f"Waits for another delivery.{again}", cause
    if waiting.failure:
        return "failing", f"Failed {counted(waiting.attempts, 'time')}.{again}", cause
    return "waiting", hindrance.strip() or "Waits for a worker.", ""


def _of_family(
    target: str,
    followers: Sequence[Follower],
    change: ChangeRow,
    unplaced: int,
    waiting: Waiting | None,
    letter: Letter | None,
) -> Delivery:
    """Where a change is at the members of a family, in counts."""
    total = sum(each.members for each in followers if each.state != "disabled" and not each.skips(change))
    parts: list[str] = []
    state: State = "done"
    cause = ""
    if unplaced:
        parts.append(f"not fanned out yet for {unplaced:,}")
        state = "waiting"
    if waiting:
        again = f", next try {_in(waiting.due_in)}" if waiting.failing else ""
        failing = f", {waiting.failing:,} of them after a failure{again}" if waiting.failing else ""
        parts.append(f"waits for {waiting.waiting:,}{failing}")
        state, cause = ("failing", waiting.cause or "") if waiting.failing else ("waiting", "")
    if letter and letter.open:
        parts.append(counted(letter.open, "dead letter"))
        state, cause = "dead", letter.cause
    members = f"{counted(total, 'subscription')} {'follows' if total == 1 else 'follow'} it now"
    sentence = f"{members}; {', '.join(parts) if parts else 'nothing waits'}."
    troubled = (*(waiting.names if waiting else ()), *((letter.name,) if letter and letter.open else ()))
    return Delivery(target, True, state, sentence, cause[:MAX_CAUSE], letter, tuple(dict.fromkeys(troubled)))


def _attempts(found: _Found, changes: Sequence[ChangeRow]) -> dict[tuple[str, int], list[AttemptRow]]:
    """The recorded attempts by target and number: of subscriptions that record them, and of some of a family."""
    targets = {each.name: each.name for each in registered() if each.recorded and each.name in found.followers}
    for target, followers in found.followers.items():
        if followers[0].is_family and sum(each.members for each in followers) <= MAX_MEMBERS:
            targets |= {name: target for each in followers for name in each.names}
    for (target, _), lanes in found.waiting.items():
        targets |= {name: target for name in lanes.names if name != target}
    targets |= {letter.name: target for (target, _), letter in found.letters.items() if letter.name != target}
    epoch = read_rows(SQL["first_epoch"]) if targets else []
    if not epoch:
        return {}
    epochs = Epochs(epoch[0][0])
    messages = [epochs.message_id(_change(change), name) for change in changes for name in targets]
    by_place: dict[tuple[str, int], list[AttemptRow]] = defaultdict(list)
    for row in read_rows(SQL["attempts"], messages=messages, limit=MAX_ATTEMPTS):
        attempt = AttemptRow(*row)
        by_place[targets[attempt.subscription], attempt.seq].append(attempt)
    return by_place


def _change(row: ChangeRow) -> Change:
    """What the id of a message is made of."""
    return Change(row.seq, row.at, row.model, row.object_id, row.kind, None, None)  # type: ignore[arg-type]  # a kind


def _of_targets(name: str, subscription: str, parameters: Mapping[str, Any]) -> list[TupleRow]:
    """The rows of a statement that groups by subscription or family; `subscription` is its column of names."""
    family = SQL["family"].with_parts(name=Statement(subscription))
    return read_rows(SQL[name].with_parts(family=family), **parameters)


def _in(seconds: float) -> str:
    """When something is due."""
    return "now" if seconds < 1 else f"in {duration(seconds)}"
