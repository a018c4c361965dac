"""What operators do about deliveries: look, pause, replay, discard, rewind (sql/operations.sql).

The command line calls these, and so will whatever shows them on a page. They run on Django's connection, each in one
transaction. A replay keeps the message ids: receivers that know a message already can tell.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from lockstep.delivery.database import SQL
from lockstep.delivery.subscriptions import Claim, Subscriber, registered, registered_families

OPERATIONS = SQL["operations"]
EVERYTHING = datetime(1, 1, 1, tzinfo=UTC)


class UnknownSubscription(Exception):
    """There is no subscription of this name."""


class UnknownMessage(Exception):
    """There is no such message among the attempts and dead letters that are kept."""


class StillDeclared(Exception):
    """The subscription belongs to a subscriber of this project, or to a family's member that exists."""


class WrongState(Exception):
    """In the state that the subscription is in, this has no meaning."""


class NotInLog(Exception):
    """The change of a message is older than the log: it cannot be sent again."""


@dataclass(frozen=True, slots=True)
class Status:
    """One subscription: changes not in the lanes yet, changes in them, objects they belong to, and so on.

    `age` is seconds since the oldest change that is not delivered; None when there is none. `silent_since` is when the
    remote stopped to answer, with what was seen instead; None while it answers.
    """

    name: str
    kind: str
    state: str
    reason: str
    behind: int
    waiting: int
    objects: int
    failing: int
    dead: int
    age: float | None
    silent_since: datetime | None
    silent_cause: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter that nobody has settled."""

    id: UUID
    model: str
    object_id: str
    seq: int
    at: datetime
    message_id: UUID
    attempts: int
    cause: str
    died: datetime


@dataclass(frozen=True, slots=True)
class Selection:
    """Some changes of one subscription; what is not given does not narrow it. Times are of the changes."""

    subscription: str
    letters: tuple[UUID, ...] | None = None
    model: str | None = None
    object_id: str | None = None
    cause: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """For the statements."""
        return asdict(self) | {"letters": None if self.letters is None else list(self.letters)}


@dataclass(frozen=True, slots=True)
class Preview:
    """What a replay would send, and what it would not: see Replayed."""

    changes: int
    objects: int
    first: datetime | None
    last: datetime | None
    not_fanned_out: int = 0
    not_in_log: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay placed: fewer changes than it chose where some wait already, or only the latest state counts.

    `not_fanned_out` were left to the relay, which sends them by itself; the changes of `not_in_log` are gone. Dead
    letters of both stay open.
    """

    changes: int
    objects: int
    not_fanned_out: int = 0
    not_in_log: int = 0


def status() -> list[Status]:
    """Every subscription, by name."""
    return [_with_outage(Status(*row)) for row in _rows("status")]


def _with_outage(status: Status) -> Status:
    """A remote that takes nothing is a reason too, of a subscription that would deliver."""
    if status.silent_since is None or status.state not in ("active", "full"):
        return status
    since = f"{status.silent_since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    outage = f"has taken nothing since {since} ({status.silent_cause})"
    return replace(status, reason=f"{status.reason}; {outage}" if status.reason else outage)


def letters(selection: Selection, *, limit: int | None = None) -> list[Letter]:
    """The dead letters of a selection, oldest first. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(selection.subscription)
        return [Letter(*row) for row in _rows("letters", **selection.parameters, limit=limit)]


def preview_letters(selection: Selection) -> Preview:
    """What a replay of these dead letters would send. Raises UnknownSubscription and WrongState."""
    with transaction.atomic():
        _refuse_disabled(selection.subscription)
        return _preview("chosen_letters", subscription=selection.subscription, letters=_ids(selection))


def replay_letters(selection: Selection) -> Replayed:
    """Sends dead letters again, under the same message ids; those that cannot be sent stay open.

    Raises UnknownSubscription and WrongState.
    """
    with transaction.atomic():
        _refuse_disabled(selection.subscription)
        return _replay("chosen_letters", subscription=selection.subscription, letters=_ids(selection))


def preview_discard(selection: Selection) -> Preview:
    """Which dead letters would be given up. Raises UnknownSubscription."""
    found = letters(selection)
    objects = {(letter.model, letter.object_id) for letter in found}
    times = sorted(letter.at for letter in found)
    return Preview(len(found), len(objects), *((times[0], times[-1]) if times else (None, None)))


def discard_letters(selection: Selection, *, reason: str) -> int:
    """Gives dead letters up for good; they are kept with the reason. Returns how many. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(selection.subscription)
        return len(_rows("discard_letters", letters=_ids(selection), reason=reason))


def preview_span(selection: Selection) -> Preview:
    """What a replay of all changes of a time would send. Raises UnknownSubscription and WrongState."""
    with transaction.atomic():
        _refuse_disabled(selection.subscription)
        return _preview("chosen_span", **selection.parameters | {"since": selection.since or EVERYTHING})


def replay_span(selection: Selection) -> Replayed:
    """Sends all changes of a time again, whether or not they were delivered. Raises UnknownSubscription, WrongState."""
    with transaction.atomic():
        _refuse_disabled(selection.subscription)
        return _replay("chosen_span", **selection.parameters | {"since": selection.since or EVERYTHING})


def replay_message(subscription: str, message_id: UUID) -> Replayed:
    """Sends one message again, under the same id; one that is not fanned out (again) yet goes out by itself.

    Raises UnknownSubscription, WrongState, UnknownMessage and NotInLog.
    """
    with transaction.atomic():
        _refuse_disabled(subscription)
        found = _rows("find_message", subscription=subscription, message_id=message_id)
        if not found:
            raise UnknownMessage(f"There is no message {message_id} that is still kept.")
        ((key, is_letter),) = found
        if is_letter:
            done = _replay("chosen_letters", subscription=subscription, letters=[key])
        else:
            done = _replay("chosen_attempt", subscription=subscription, attempt=key)
        if done.not_in_log:
            raise NotInLog(f"The change of message {message_id} is no longer in the log.")
        return done


def pause(subscription: str, *, reason: str) -> str:
    """Nothing is fanned out or claimed any more; what is being delivered ends. It lasts until `resume`.

    One that is disabled stays so, and is paused when it is enabled. Returns its state. Raises UnknownSubscription.
    """
    with transaction.atomic():
        _lock(subscription)
        _rows("leave_place", subscription=subscription)
        ((state,),) = _rows("pause", subscription=subscription, reason=reason)
        return str(state)


def resume(subscription: str) -> str:
    """One that was paused goes on where it was. Returns its state: one that is disabled stays so.

    Raises UnknownSubscription, and WrongState for one that is full, or disabled and not paused.
    """
    with transaction.atomic():
        state, paused = _lock(subscription)
        if state == "full":
            raise WrongState(f"{subscription} is full: it goes on by itself once half of what waits is delivered.")
        if state == "disabled" and paused is None:
            raise WrongState(
                f"{subscription} is disabled: it is enabled where it was disabled, a webhook by its owner."
            )
        ((state,),) = _rows("resume", subscription=subscription)
        return str(state)


def disable(subscription: str, *, reason: str) -> None:
    """It gets nothing any more and forgets what waits; the log does not keep anything for it.

    It lasts until `enable`, and both are for whoever has a family of subscribers. Raises UnknownSubscription.
    """
    with transaction.atomic():
        _lock(subscription)
        for statement in ("leave_place", "remove_deliveries", "remove_lanes", "disable"):
            _rows(statement, subscription=subscription, reason=reason)


def enable(subscription: str) -> None:
    """One that was disabled starts anew, from now on; paused, where an operator has said so.

    Raises UnknownSubscription.
    """
    with transaction.atomic():
        _lock(subscription)
        _rows("enable", subscription=subscription)


def put_aside(subscription: str, claim: Claim, *, cause: str) -> None:
    """Keeps the change of a claim as a dead letter, where `disable` has removed the lane before it is settled."""
    change = claim.change
    _rows(
        "put_aside",
        subscription=subscription,
        model=change.model,
        object_id=change.object_id,
        seq=change.seq,
        at=change.at,
        message_id=claim.message_id,
        attempts=claim.attempts,
        cause=cause,
    )


def subscribe(member: Subscriber, *, follows: Sequence[str]) -> None:
    """Makes or changes the subscription of a family's member. It starts with the transaction that this is part of."""
    _rows("subscribe", **member.row | {"follows": list(follows)})


def unsubscribe(subscription: str) -> None:
    """Removes the subscription of a family's member with all that belongs to it. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(subscription)
        for table in ("deliveries", "lanes", "attempts", "letters", "subscription"):
            _rows(f"remove_{table}", subscription=subscription)


def send(subscription: str, *, model: str, object_id: str, after: dict[str, Any]) -> int:
    """Delivers something that no model changed, to this subscription alone: a test, say. Returns its seq.

    It is in the change log as a created object of `model`. Raises UnknownSubscription and WrongState.
    """
    with transaction.atomic():
        _refuse_disabled(subscription)
        sent = {"model": model, "object_id": object_id, "after": json.dumps(after)}
        ((seq,),) = _rows("send", subscription=subscription, **sent)
        return int(seq)


def rewind(subscription: str, *, since: datetime | None = None) -> bool:
    """Starts again at this time of the retained log, or at its beginning: everything since goes out (again), in order.

    Its state stays: one that is paused or full goes out when it goes on. Returns whether there was anything. Raises
    UnknownSubscription and WrongState.
    """
    with transaction.atomic():
        _refuse_disabled(subscription)
        ((seq, end),) = _rows("rewind_to", subscription=subscription, since=since or EVERYTHING)
        if seq is None:
            return False
        _rows("clear_from", subscription=subscription, seq=seq)
        _rows("rewind", subscription=subscription, seq=seq, end=end)
        return True


def remove(subscription: str) -> None:
    """Removes a subscription that the code does not declare any more, with all that waits for it.

    Raises UnknownSubscription, and StillDeclared when a worker would only make it again, or a member would lack it.
    """
    if subscription in {subscriber.name for subscriber in registered()}:
        raise StillDeclared(f"{subscription!r} is declared in the code: remove it there first, or pause it.")
    for family in registered_families():
        if owner := family.owner_of(subscription):
            raise StillDeclared(f"{subscription!r} belongs to {owner}: delete that, and its subscription goes with it.")
    unsubscribe(subscription)


def _ids(selection: Selection) -> list[UUID]:
    return [row[0] for row in _rows("letters", **selection.parameters, limit=None)]


def _preview(chosen: str, **parameters: object) -> Preview:
    (row,) = _run(_completed("preview", chosen), parameters)
    return Preview(*row)


def _replay(chosen: str, **parameters: object) -> Replayed:
    (row,) = _run(_completed("replay", chosen), parameters)
    return Replayed(*row)


def _refuse_disabled(subscription: str) -> None:
    state, _ = _lock(subscription)
    if state == "disabled":
        raise WrongState(f"{subscription} is disabled: it gets nothing.")


def _lock(subscription: str) -> tuple[str, str | None]:
    """The state, and why an operator paused it; both stay until the transaction ends."""
    rows = _rows("lock", subscription=subscription)
    if not rows:
        raise UnknownSubscription(f"There is no subscription {subscription!r}.")
    ((state, paused),) = rows
    return state, paused


def _completed(statement: str, chosen: str) -> str:
    return OPERATIONS[statement].replace("{judged}", OPERATIONS["judged"]).replace("{chosen}", OPERATIONS[chosen])


def _rows(statement: str, **parameters: object) -> list[tuple[Any, ...]]:
    return _run(OPERATIONS[statement], parameters)


def _run(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []
