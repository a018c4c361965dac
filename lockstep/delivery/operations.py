"""The operations on deliveries: status, pause, replay, discard, rewind (sql/operations.sql).

The command line and web pages call these. They run on Django's connection, each in one transaction. A replay keeps the
message ids, so receivers can recognise repeated messages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from textwrap import shorten
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import TupleRow

from lockstep.changes.capture import Document
from lockstep.conf import lockstep_settings, log_connection
from lockstep.delivery.reports import ChangeFilter, DeadLetterRow, Preview, ReplayResult, Status
from lockstep.delivery.subscriptions import Claim, Subscriber, registered, registered_families
from lockstep.sql import statements

__all__ = ["UnknownSubscription", "discard_letters", "replay_letters", "replay_span", "status"]

OPERATIONS = statements(__file__, "operations")
REMOVAL = ("remove_deliveries", "remove_lanes", "remove_attempts", "remove_letters", "remove_subscription")

MAX_CAUSE = 200  # characters in the reason of a failing subscription
EVERYTHING = datetime(1, 1, 1, tzinfo=UTC)


class UnknownSubscription(Exception):
    """There is no subscription of this name."""


class UnknownMessage(Exception):
    """There is no such message among the recorded attempts and dead letters."""


class StillDeclared(Exception):
    """The subscription belongs to a declared subscriber, or to an existing member of a family."""


class WrongState(Exception):
    """The operation is not possible in the subscription's state."""


class NotInLog(Exception):
    """The change of a message is no longer in the log: it cannot be sent again."""


def status() -> list[Status]:
    """Every subscription, by name."""
    return [_with_failure(Status(*row), cause) for *row, cause in _rows("status")]


def _with_failure(status: Status, cause: str) -> Status:
    """Adds an unreachable remote, or the cause of one failing object, to the reason of a subscription that delivers."""
    if status.state not in ("active", "full"):
        return status
    if status.silent_since:
        since = f"{status.silent_since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        failure = f"has taken nothing since {since} ({status.silent_cause})"
    elif cause:
        failure = f"fails ({shorten(cause, MAX_CAUSE, placeholder='…')})"
    else:
        return status
    return replace(status, reason=f"{status.reason}; {failure}" if status.reason else failure)


def dead_letters(change_filter: ChangeFilter, *, limit: int | None = None) -> list[DeadLetterRow]:
    """The selected dead letters, oldest first. Raises UnknownSubscription."""
    with transaction.atomic(lockstep_settings.DATABASE):
        _lock(change_filter.subscription)
        return [DeadLetterRow(*row) for row in _rows("dead_letters", **change_filter.parameters, limit=limit)]


def preview_letters(change_filter: ChangeFilter) -> Preview:
    """Previews a replay of these dead letters. Raises UnknownSubscription and WrongState."""
    with transaction.atomic(lockstep_settings.DATABASE):
        _refuse_disabled(change_filter.subscription)
        return _preview("chosen_letters", subscription=change_filter.subscription, letters=_ids(change_filter))


def replay_letters(change_filter: ChangeFilter) -> ReplayResult:
    """Sends dead letters again with the same message ids; those that cannot be sent stay open.

    Raises UnknownSubscription and WrongState.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
        _refuse_disabled(change_filter.subscription)
        return _replay("chosen_letters", subscription=change_filter.subscription, letters=_ids(change_filter))


def preview_discard(change_filter: ChangeFilter) -> Preview:
    """Previews which dead letters would be discarded. Raises UnknownSubscription."""
    found = dead_letters(change_filter)
    objects = {(letter.model, letter.object_id) for letter in found}
    times = sorted(letter.at for letter in found)
    return Preview(len(found), len(objects), *((times[0], times[-1]) if times else (None, None)))


def discard_letters(change_filter: ChangeFilter, *, reason: str) -> int:
    """Discards dead letters; they are kept with the reason. Returns the number. Raises UnknownSubscription."""
    with transaction.atomic(lockstep_settings.DATABASE):
        _lock(change_filter.subscription)
        return len(_rows("discard_letters", letters=_ids(change_filter), reason=reason))


def preview_span(change_filter: ChangeFilter) -> Preview:
    """Previews a replay of all changes of a period. Raises UnknownSubscription and WrongState."""
    with transaction.atomic(lockstep_settings.DATABASE):
        _refuse_disabled(change_filter.subscription)
        return _preview("chosen_span", **change_filter.parameters | {"since": change_filter.since or EVERYTHING})


def replay_span(change_filter: ChangeFilter) -> ReplayResult:
    """Sends all changes of a period again, delivered or not. Raises UnknownSubscription and WrongState."""
    with transaction.atomic(lockstep_settings.DATABASE):
        _refuse_disabled(change_filter.subscription)
        return _replay("chosen_span", **change_filter.parameters | {"since": change_filter.since or EVERYTHING})


def replay_message(subscription: str, message_id: UUID) -> ReplayResult:
    """Sends one message again with the same id; one that is not fanned out yet is left to the relay.

    Raises UnknownSubscription, WrongState, UnknownMessage and NotInLog.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
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
    """Stops fan-out and claims until `resume`; deliveries in progress end normally.

    A disabled subscription is paused once it is enabled. Returns the state. Raises UnknownSubscription.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
        _lock(subscription)
        _rows("leave_place", subscription=subscription)
        ((state,),) = _rows("pause", subscription=subscription, reason=reason)
        return str(state)


def resume(subscription: str) -> str:
    """Continues a paused subscription where it stopped. Returns the state: a disabled one stays disabled.

    Raises UnknownSubscription, and WrongState for one at its cap, or disabled and not paused.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
        state, paused = _lock(subscription)
        if state == "full":
            raise WrongState(f"{subscription} is full: it continues by itself once half is delivered.")
        if state == "disabled" and paused is None:
            raise WrongState(
                f"{subscription} is disabled: it is enabled where it was disabled, a webhook by its owner."
            )
        ((state,),) = _rows("resume", subscription=subscription)
        return str(state)


def disable(subscription: str, *, reason: str) -> None:
    """Stops fan-out and removes the lanes; retention no longer considers the subscription.

    It lasts until `enable`; both are for the app with the family. Raises UnknownSubscription.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
        _lock(subscription)
        for statement in ("leave_place", "remove_deliveries", "remove_lanes", "disable"):
            _rows(statement, subscription=subscription, reason=reason)


def enable(subscription: str) -> None:
    """Restarts a disabled subscription from now on; it is paused if an operator paused it.

    Raises UnknownSubscription.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
        _lock(subscription)
        _rows("enable", subscription=subscription)


def put_aside(subscription: str, claim: Claim, *, cause: str) -> None:
    """Makes a dead letter of a claim's change, where `disable` removed the lane before the settlement."""
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
    """Inserts or updates the subscription of a family's member. It starts with the current transaction."""
    _rows("subscribe", **member.row | {"follows": list(follows)})


def unsubscribe(subscription: str) -> None:
    """Removes the subscription of a family's member with all that belongs to it. Raises UnknownSubscription."""
    with transaction.atomic(lockstep_settings.DATABASE):
        _lock(subscription)
        for statement in REMOVAL:
            _rows(statement, subscription=subscription)


def send(subscription: str, *, model: str, object_id: str, after: Document) -> int:
    """Sends a message that is no change of a model, such as a test, to this subscription alone. Returns its seq.

    It is in the change log as a created object of `model`. Raises UnknownSubscription and WrongState.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
        _refuse_disabled(subscription)
        sent = {"model": model, "object_id": object_id, "after": json.dumps(after)}
        ((seq,),) = _rows("send", subscription=subscription, **sent)
        return int(seq)


def rewind(subscription: str, *, since: datetime | None = None) -> bool:
    """Sends all changes since this time, or all that the log has, again and in order.

    The state is kept: a paused subscription sends them once it is resumed. Returns whether there were any. Raises
    UnknownSubscription and WrongState.
    """
    with transaction.atomic(lockstep_settings.DATABASE):
        _refuse_disabled(subscription)
        ((seq, end),) = _rows("rewind_to", subscription=subscription, since=since or EVERYTHING)
        if seq is None:
            return False
        _rows("clear_from", subscription=subscription, seq=seq)
        _rows("rewind", subscription=subscription, seq=seq, end=end)
        return True


def remove(subscription: str) -> None:
    """Removes a subscription that the code no longer declares, with its lanes and dead letters.

    Raises UnknownSubscription, and StillDeclared where a subscriber or a member still has it.
    """
    if subscription in {subscriber.name for subscriber in registered()}:
        raise StillDeclared(f"{subscription!r} is declared in the code: remove it there first, or pause it.")
    for family in registered_families():
        if owner := family.owner_of(subscription):
            raise StillDeclared(f"{subscription!r} belongs to {owner}: delete that, and its subscription goes with it.")
    unsubscribe(subscription)


def _ids(change_filter: ChangeFilter) -> list[UUID]:
    return [row[0] for row in _rows("dead_letters", **change_filter.parameters, limit=None)]


def _preview(chosen: str, **parameters: object) -> Preview:
    (row,) = _run(OPERATIONS["preview"].with_parts(chosen=OPERATIONS[chosen]), parameters)
    return Preview(*row)


def _replay(chosen: str, **parameters: object) -> ReplayResult:
    (row,) = _run(OPERATIONS["replay"].with_parts(chosen=OPERATIONS[chosen]), parameters)
    return ReplayResult(*row)


def _refuse_disabled(subscription: str) -> None:
    state, _ = _lock(subscription)
    if state == "disabled":
        raise WrongState(f"{subscription} is disabled: it gets nothing.")


def _lock(subscription: str) -> tuple[str, str | None]:
    """Locks the subscription's row; returns the state and the reason of a pause."""
    rows = _rows("lock", subscription=subscription)
    if not rows:
        raise UnknownSubscription(f"There is no subscription {subscription!r}.")
    ((state, paused),) = rows
    return state, paused


def _rows(statement: str, **parameters: object) -> list[TupleRow]:
    return _run(OPERATIONS[statement], parameters)


def _run(statement: str, parameters: Mapping[str, Any]) -> list[TupleRow]:
    with log_connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []
