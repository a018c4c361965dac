"""Hands changes to Celery's workers (the extra `celery`; docs/how-to/celery.md)."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from uuid import UUID

from celery import Task
from kombu.exceptions import OperationalError

from lockstep.delivery.errors import Unreachable
from lockstep.delivery.subscriptions import Change

__all__ = ["change_of", "enqueue"]


def enqueue(task: Task, change: Change, **options: object) -> None:
    """Sends a change to a task, as its only argument (see `change_of`); returns when the broker has taken it.

    The task's id is the message's: the same for every attempt to send this change to this subscription. `options` are
    those of `Task.apply_async`, such as `queue` and `countdown`. Raises Unreachable where the broker does not answer:
    then deliveries wait until it does, as for every remote. Raises kombu's EncodeError for options that no broker can
    carry, which is a bug like any other.
    """
    try:
        task.apply_async(args=(_message(change),), task_id=str(change.id), retry=False, **options)
    except OperationalError as error:
        raise Unreachable(f"the broker does not answer: {error}") from error


def change_of(message: Mapping[str, object]) -> Change:
    """The change in the argument of a task, also of one that a later version sent, with members of its own."""
    known = {each.name: message[each.name] for each in fields(Change) if each.name in message}
    values = {**known, "at": datetime.fromisoformat(str(message["at"])), "id": UUID(str(message["id"]))}
    return Change(**values)  # type: ignore[arg-type]


def _message(change: Change) -> dict[str, object]:
    values = {each.name: getattr(change, each.name) for each in fields(change)}
    return {**values, "at": change.at.isoformat(), "id": str(change.id)}
