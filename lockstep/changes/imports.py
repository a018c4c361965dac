"""Bulk imports without capture, and repair of the log after them: `lockstep.uncaptured` and `lockstep.resync`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import models, transaction

from lockstep.changes.capture import required_capture
from lockstep.changes.columns import compared, table_of
from lockstep.changes.triggers import OPERATIONS, PREFIX
from lockstep.conf import lockstep_settings, log_connection
from lockstep.sql import Statement, identifier, joined, statements

SQL = statements(__file__, "imports")
MARK = "lockstep.uncaptured"  # the model of the log's row that marks uncaptured writes


@dataclass(frozen=True, slots=True)
class Resynced:
    """The numbers of objects whose rows differed from the log."""

    created: int
    updated: int
    deleted: int


@contextmanager
def uncaptured(model: type[models.Model], *, reason: str) -> Iterator[None]:
    """Disables capture of a model inside; the log gets one mark with the reason.

    It is one transaction, which blocks other writers of the table, and needs the owner of the table. Triggers of other
    packages still fire. `resync` afterwards repairs the log, and with it every subscriber. Raises ValueError for a
    model that is not captured.
    """
    capture = required_capture(model)
    if not reason.strip():
        raise ValueError("The reason is empty: it is all that the log will have of these writes.")
    table = table_of(capture.model)
    with transaction.atomic(lockstep_settings.DATABASE), log_connection().cursor() as cursor:
        cursor.execute(SQL["alter"].with_parts(table=table, triggers=_each(Statement("DISABLE TRIGGER {trigger}"))))
        cursor.execute(SQL["mark"], [MARK, capture.label, json.dumps({"reason": reason})])
        yield
        cursor.execute(
            SQL["alter"].with_parts(table=table, triggers=_each(Statement("ENABLE ALWAYS TRIGGER {trigger}")))
        )


def resync(model: type[models.Model], *, plan: bool = False) -> Resynced:
    """Writes missing changes of a model to the log, so that the last change of each object equals its row.

    It blocks other writers of the table, and needs the owner of the log. With `plan` nothing is written. Raises
    ValueError for a model that is not captured.
    """
    capture = required_capture(model)
    with transaction.atomic(lockstep_settings.DATABASE), log_connection().cursor() as cursor:
        cursor.execute(SQL["lock"].with_parts(table=table_of(capture.model)))
        statement = SQL["count"] if plan else SQL["resync"]
        cursor.execute(statement.with_parts(**compared(capture)))
        return Resynced(*(cursor.fetchone() or (0, 0, 0)))


def _each(action: Statement) -> Statement:
    """The action for every capture trigger of a table."""
    return joined(action.with_parts(trigger=identifier(f"{PREFIX}{operation}")) for operation in OPERATIONS)
