"""Bulk imports without capture, and repair of the log after them: `lockstep.uncaptured` and `lockstep.resync`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import models, transaction

from lockstep.changes.capture import Capture, capture_of
from lockstep.changes.sql_file import load
from lockstep.changes.triggers import OPERATIONS, PREFIX, column_of, document, find_tables, quote, seen
from lockstep.conf import lockstep_settings, log_connection

SQL = load(Path(__file__).parent / "sql" / "imports.sql")
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
    capture = _capture(model)
    if not reason.strip():
        raise ValueError("Say why: it is all that the log has of what is written.")
    with transaction.atomic(lockstep_settings.DATABASE), log_connection().cursor() as cursor:
        table = find_tables(cursor, [capture.model])[capture.model].name
        cursor.execute(_each(table, "DISABLE"))
        cursor.execute(SQL["mark"], [MARK, capture.label, json.dumps({"reason": reason})])
        yield
        # A table with pending deferred constraints cannot be altered.
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; {_each(table, 'ENABLE ALWAYS')}; SET CONSTRAINTS ALL DEFERRED")


def resync(model: type[models.Model], *, plan: bool = False) -> Resynced:
    """Writes missing changes of a model to the log, so that the last change of each object equals its row.

    It blocks other writers of the table, and needs the owner of the log. With `plan` nothing is written. Raises
    ValueError for a model that is not captured.
    """
    capture = _capture(model)
    key = quote(column_of(capture.model, "pk"))
    with transaction.atomic(lockstep_settings.DATABASE), log_connection().cursor() as cursor:
        table = find_tables(cursor, [capture.model])[capture.model].name
        names = {
            "{label}": capture.label,
            "{table}": table,
            "{key}": f"t.{key}",
            "{document}": document(capture.model, capture.columns, "t"),
            "{seen}": seen(capture.model, "t", capture.soft_delete),
        }
        statement = SQL["count" if plan else "resync"].replace("{differing}", SQL["differing"])
        for name, value in names.items():
            statement = statement.replace(name, value)
        cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(statement)
        return Resynced(*(cursor.fetchone() or (0, 0, 0)))


def _capture(model: type[models.Model]) -> Capture:
    capture = capture_of(model)
    if capture is None:
        raise ValueError(f"{model._meta.label} is not captured.")
    return capture


def _each(table: str, word: str) -> str:
    return f"ALTER TABLE {table} " + ", ".join(f"{word} TRIGGER {PREFIX}{operation}" for operation in OPERATIONS)
