"""Reads of dead letters: lists, groups by cause, one letter, and the choice of an operation (sql/dead_letters.sql)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.apps import apps

from lockstep import console
from lockstep.changes.capture import Document
from lockstep.console.reads.rows import read_rows
from lockstep.console.reads.subscriptions import Count
from lockstep.delivery.reports import Criteria
from lockstep.sql import Statement, statements

SQL = statements(console.__file__, "dead_letters")

MAX_SCANNED = 5_000  # letters that a list or a choice reads, whether they match or not
MAX_COUNTED = 500  # of a subscription in the list of those that have letters
MAX_GROUPED = 2_000  # of which groups are made
MAX_GROUPS = 20
MAX_CHOSEN = 1_000  # letters of one replay or discard

WILD = re.compile(r"[%_\\]")  # what stands for something else in a pattern of LIKE

Outcome = Literal["replayed", "discarded"]


@dataclass(frozen=True, slots=True)
class LetterFilter(Criteria):
    """A selection of dead letters: open ones, or those with this outcome. None does not restrict them.

    `family` are all members of a family, instead of one `subscription`.

    `cause` is a part of the cause, in any case; `group` a whole normalised cause. `settled` is the very time of a
    replay or discard.
    """

    subscription: str | None = None
    family: str | None = None
    group: str | None = None
    outcome: Outcome | None = None
    settled: datetime | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the statements."""
        pattern = WILD.sub(r"\\\g<0>", self.group or "").replace("…", "%") + "%"
        return asdict(self) | {"pattern": pattern, "scan": MAX_SCANNED}

    @property
    def parts(self) -> dict[str, Statement]:
        """The list that is read, its order, and the condition on its letters."""
        if self.subscription and not self.outcome:
            order = Statement("letter.died DESC, letter.id DESC")
            return {"letters": SQL["newest_open"], "order": order, "condition": SQL["matches"]}
        return {
            "letters": SQL["newest"],
            "order": Statement("letter.id DESC"),
            "condition": SQL["matches_of_all"],
        }


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter in a list. A replayed one that waits in a lane again has that lane's failure and next attempt."""

    id: UUID
    subscription: str
    model: str
    object_id: str
    seq: int
    at: datetime
    message_id: UUID
    attempts: int
    cause: str
    died: datetime
    outcome: Outcome | None
    reason: str
    settled: datetime | None
    waits: bool
    lane_failure: str | None
    lane_cause: str
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class LetterPage:
    """A part of a list, newest first; `before` continues it, None at its end.

    `is_cut`: the scan ended at its limit, and letters after it may match.
    """

    rows: Sequence[LetterRow]
    before: UUID | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one subscription whose causes differ in numbers, ids and addresses only."""

    subscription: str
    cause: str
    letters: int
    objects: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of the newest letters; `is_cut` where there are more letters than were grouped."""

    rows: Sequence[Group]
    letters: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter with its change, which is None where the log no longer has it.

    `kind` and `state` are the subscription's.
    """

    row: LetterRow
    kind: str
    state: str
    change: "LetterChange | None"
    is_fanned_out: bool


@dataclass(frozen=True, slots=True)
class LetterChange:
    """The change of a dead letter."""

    kind: str
    before: Document | None
    after: Document | None
    actor: str
    origin: str
    trace: str


@dataclass(frozen=True, slots=True)
class LaneChange:
    """A change that waits in the lane of an object."""

    seq: int
    at: datetime
    kind: str


@dataclass(frozen=True, slots=True)
class LaneState:
    """The lane of an object: how its last attempt failed, and the first changes that wait in it."""

    failure: str | None
    cause: str
    attempts: int
    next_at: datetime
    changes: Sequence[LaneChange]


@dataclass(frozen=True, slots=True)
class MessageAttempt:
    """One recorded attempt of a message. `receipt` is the handler's record, as JSON."""

    number: int
    began: datetime
    seconds: float
    failure: str | None
    cause: str
    receipt: str

    @property
    def milliseconds(self) -> float:
        return self.seconds * 1_000


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of letters that were replayed together.

    So many wait in lanes, in some of which the last attempt failed; so many are open dead letters again.
    """

    letters: Count
    waiting: int
    failing: int
    dead: int

    @property
    def gone(self) -> int:
        return self.letters.number - self.waiting - self.dead


@dataclass(frozen=True, slots=True)
class ChosenLetters:
    """The letters of one operation, oldest first. `after`: after this letter others may match; None for none."""

    letters: tuple[UUID, ...]
    after: UUID | None


def page_of_letters(letter_filter: LetterFilter, *, before: UUID | None, limit: int) -> LetterPage:
    """A page of the list."""
    parameters = letter_filter.parameters | {"before": before}
    parts = letter_filter.parts
    rows = [LetterRow(*row) for row in read_rows(SQL["page"].with_parts(**parts), **parameters, limit=limit + 1)]
    if len(rows) > limit:
        return LetterPage(rows[:limit], rows[limit - 1].id, is_cut=False)
    end = read_rows(SQL["scan_end"].with_parts(letters=parts["letters"]), **parameters)
    return LetterPage(rows, end[0][0] if end else None, is_cut=bool(end))


def groups(letter_filter: LetterFilter) -> Groups:
    """The newest letters of the filter by subscription and cause, the largest groups first."""
    parameters = letter_filter.parameters | {"before": None, "most": MAX_GROUPED, "limit": MAX_GROUPS}
    rows = read_rows(SQL["groups"].with_parts(**_unordered(letter_filter)), **parameters)
    letters = rows[0][-1] if rows else 0
    return Groups([Group(*row[:-1]) for row in rows], letters, is_cut=letters >= MAX_GROUPED)


def subscriptions(*, family: str | None, limit: int) -> list[tuple[str, Count]]:
    """Subscriptions with open dead letters, all or those of a family, by name, and how many they have."""
    first = f"{family}:" if family else ""
    rows = read_rows(SQL["subscriptions"], after=first, most=MAX_COUNTED, limit=limit)
    return [(name, Count(count, count >= MAX_COUNTED)) for name, count in rows if name.startswith(first)]


def chosen_letters(
    letter_filter: LetterFilter, *, letters: Sequence[UUID] | None = None, after: UUID | None = None
) -> ChosenLetters:
    """The oldest open letters of one subscription that match, MAX_CHOSEN at most; or those of `letters` that do."""
    named = None if letters is None else list(letters)
    parameters = letter_filter.parameters | {"letters": named, "after": after, "limit": MAX_CHOSEN + 1}
    chosen = SQL["chosen"].with_parts(letters=SQL["oldest_open"], condition=SQL["matches"])
    found = tuple(row[0] for row in read_rows(chosen, **parameters))
    if len(found) > MAX_CHOSEN:
        return ChosenLetters(found[:MAX_CHOSEN], found[MAX_CHOSEN - 1])
    end = read_rows(SQL["scan_end"].with_parts(letters=SQL["oldest_open"]), **parameters)
    return ChosenLetters(found, end[0][0] if end else None)


def batch(letter_filter: LetterFilter, *, before: UUID | None) -> Batch:
    """What became of the letters of one replay, whose time is `settled` and whose `subscription` is named."""
    parameters = letter_filter.parameters | {"before": before, "most": MAX_CHOSEN}
    ((letters, waiting, failing, dead),) = read_rows(SQL["batch"].with_parts(**_unordered(letter_filter)), **parameters)
    return Batch(Count(letters), waiting, failing, dead)


def letter(key: UUID) -> Letter | None:
    """One dead letter; None where there is none."""
    rows = read_rows(SQL["letter"], id=key)
    if not rows:
        return None
    columns = len(LetterRow.__dataclass_fields__)
    own, (kind, state, is_in_log, is_fanned_out, *change) = rows[0][:columns], rows[0][columns:]
    change_kind, before, after, *attribution = change
    found = LetterChange(change_kind, _document(before), _document(after), *(each or "" for each in attribution))
    return Letter(LetterRow(*own), kind, state, found if is_in_log else None, is_fanned_out)


def lane_of(row: LetterRow, *, limit: int) -> LaneState | None:
    """The lane of the letter's object with its first changes; None where nothing waits."""
    rows = read_rows(SQL["lane"], subscription=row.subscription, model=row.model, object_id=row.object_id, limit=limit)
    if not rows:
        return None
    failure, cause, attempts, next_at = rows[0][:4]
    return LaneState(failure, cause, attempts, next_at, [LaneChange(*each[4:]) for each in rows])


def attempts_of(row: LetterRow, *, limit: int) -> list[MessageAttempt]:
    """The recorded attempts of a letter's message, the latest first."""
    rows = read_rows(SQL["attempts"], message_id=row.message_id, limit=limit)
    receipts: Sequence[Mapping[str, object]] = [_document(receipt) or {} for *_, receipt in rows]
    if apps.is_installed("lockstep.webhooks"):
        from lockstep.console.reads.webhooks import receipts_for_operators  # needs the packages of that extra

        receipts = receipts_for_operators(row.subscription, receipts)
    return [MessageAttempt(*(*each[:-1], _indented(receipt))) for each, receipt in zip(rows, receipts, strict=True)]


def letter_again(row: LetterRow) -> UUID | None:
    """A later open letter of the same message; None where there is none among the newest of its subscription."""
    chosen = {"subscription": row.subscription, "message_id": row.message_id, "id": row.id, "scan": MAX_SCANNED}
    rows = read_rows(SQL["again"], **chosen)
    return rows[0][0] if rows else None


def transaction_time() -> datetime:
    """The time of the current transaction, by which its letters are settled."""
    now: datetime = read_rows(SQL["transaction_time"])[0][0]
    return now


def _unordered(letter_filter: LetterFilter) -> dict[str, Statement]:
    return {name: part for name, part in letter_filter.parts.items() if name != "order"}


def _document(text: str | Document | None) -> Document | None:
    """A document of the log, which Django's cursor returns as text."""
    return json.loads(text) if isinstance(text, str) else text


def _indented(receipt: Mapping[str, object]) -> str:
    return json.dumps(receipt, indent=2, ensure_ascii=False) if receipt else ""
