"""What operators do about deliveries: look, pause, replay, discard, rewind (sql/operations.sql).

The command line calls these, and so will whatever shows them on a page. They run on Django's connection, each in one
transaction. A replay keeps the message ids: receivers that know a message already can tell.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, slots=True)
class Status:
    """One subscription: changes not in the lanes yet, changes in them, objects they belong to, and so on.

    `age` is seconds since the oldest change that is not delivered; None when there is none.
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
    """What a replay would send."""

    changes: int
    objects: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay placed: fewer changes than it chose where some wait already, or only the latest state counts."""

    changes: int
    objects: int


def status() -> list[Status]:
    """Every subscription, by name."""
    return [Status(*row) for row in _rows("status")]


def letters(selection: Selection, *, limit: int | None = None) -> list[Letter]:
    """The dead letters of a selection, oldest first. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(selection.subscription)
        return [Letter(*row) for row in _rows("letters", **selection.parameters, limit=limit)]


def preview_letters(selection: Selection) -> Preview:
    """What a replay of these dead letters would send. Raises UnknownSubscription."""
    chosen = {"letters": [letter.id for letter in letters(selection)]}
    return _preview("chosen_letters", **chosen)


def replay_letters(selection: Selection) -> Replayed:
    """Sends dead letters again, under the same message ids. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(selection.subscription)
        settled = _settle(selection, outcome="replayed", reason="")
        return _replay("chosen_letters", subscription=selection.subscription, letters=settled)


def discard_letters(selection: Selection, *, reason: str) -> int:
    """Gives dead letters up for good; they are kept with the reason. Returns how many. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(selection.subscription)
        return len(_settle(selection, outcome="discarded", reason=reason))


def preview_span(selection: Selection) -> Preview:
    """What a replay of all changes of a time would send. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(selection.subscription)
        return _preview("chosen_span", **selection.parameters | {"since": selection.since or EVERYTHING})


def replay_span(selection: Selection) -> Replayed:
    """Sends all changes of a time again, whether or not they were delivered. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(selection.subscription)
        return _replay("chosen_span", **selection.parameters | {"since": selection.since or EVERYTHING})


def replay_message(subscription: str, message_id: UUID) -> Replayed:
    """Sends one message again, under the same id. Raises UnknownSubscription and UnknownMessage."""
    with transaction.atomic():
        _lock(subscription)
        found = _rows("find_message", subscription=subscription, message_id=message_id)
        if not found:
            raise UnknownMessage(f"There is no message {message_id} that is still kept.")
        seq, at, letter = found[0]
        if letter:
            return replay_letters(Selection(subscription, letters=(letter,)))
        return _replay("chosen_change", subscription=subscription, seq=seq, at=at)


def pause(subscription: str, *, reason: str) -> None:
    """Nothing is fanned out or claimed any more; what is being delivered ends. Raises UnknownSubscription."""
    _set_state(subscription, "paused", reason)


def resume(subscription: str) -> None:
    """It goes on where it was; one that was disabled starts anew, from now on. Raises UnknownSubscription."""
    with transaction.atomic():
        _lock(subscription)
        _rows("start_anew_if_disabled", subscription=subscription)
        _rows("set_state", subscription=subscription, state="active", reason="")


def disable(subscription: str, *, reason: str) -> None:
    """It gets nothing any more and forgets what waits; the log does not keep anything for it.

    Raises UnknownSubscription.
    """
    with transaction.atomic():
        _lock(subscription)
        for statement in ("remove_deliveries", "remove_lanes"):
            _rows(statement, subscription=subscription)
        _rows("set_state", subscription=subscription, state="disabled", reason=reason)


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

    It is in the change log as a created object of `model`. Raises UnknownSubscription.
    """
    with transaction.atomic():
        _lock(subscription)
        sent = {"model": model, "object_id": object_id, "after": json.dumps(after)}
        ((seq,),) = _rows("send", subscription=subscription, **sent)
        return int(seq)


def rewind(subscription: str, *, since: datetime | None = None) -> bool:
    """Starts again at this time of the retained log, or at its beginning: everything since goes out (again), in order.

    Returns whether there was anything. Raises UnknownSubscription.
    """
    with transaction.atomic():
        _lock(subscription)
        ((seq,),) = _rows("rewind_to", subscription=subscription, since=since or EVERYTHING)
        if seq is None:
            return False
        _rows("clear_from", subscription=subscription, seq=seq)
        _rows("rewind", subscription=subscription, seq=seq)
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


def _settle(selection: Selection, *, outcome: str, reason: str) -> list[UUID]:
    chosen = [row[0] for row in _rows("letters", **selection.parameters, limit=None)]
    return [row[0] for row in _rows("settle_letters", letters=chosen, outcome=outcome, reason=reason)]


def _preview(chosen: str, **parameters: object) -> Preview:
    ((changes, objects, first, last),) = _run(_completed("preview", chosen), parameters)
    return Preview(changes, objects, first, last)


def _replay(chosen: str, **parameters: object) -> Replayed:
    ((changes, objects),) = _run(_completed("replay", chosen), parameters)
    return Replayed(changes, objects)


def _set_state(subscription: str, state: str, reason: str) -> None:
    with transaction.atomic():
        _lock(subscription)
        _rows("set_state", subscription=subscription, state=state, reason=reason)


def _lock(subscription: str) -> None:
    if not _rows("lock", subscription=subscription):
        raise UnknownSubscription(f"There is no subscription {subscription!r}.")


def _completed(statement: str, chosen: str) -> str:
    return OPERATIONS[statement].replace("{chosen}", OPERATIONS[chosen])


def _rows(statement: str, **parameters: object) -> list[tuple[Any, ...]]:
    return _run(OPERATIONS[statement], parameters)


def _run(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []
