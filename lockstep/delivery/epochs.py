"""The epochs of the database: whether it was rolled back, and a new epoch after a restore (sql/epochs.sql).

Message ids are made only of values that are stored with a change, so they do not depend on the epoch: they are the same
after the promotion of a replica that lacks the last changes, and after a backup has replaced the data.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1
from typing import Self
from uuid import UUID

from django.db import OperationalError, ProgrammingError, transaction
from psycopg.errors import InsufficientPrivilege, LockNotAvailable
from psycopg.rows import TupleRow

from lockstep.conf import lockstep_settings, log_connection
from lockstep.delivery.database import Connection
from lockstep.delivery.subscriptions import Change
from lockstep.delivery.values import microseconds
from lockstep.sql import statements

EPOCHS = statements(__file__, "epochs")

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"
MIN_STEP_SECONDS = 1.0  # smaller steps of a clock are ignored


class ClusterMismatch(Exception):
    """The database was restored from another cluster, or copied to one.

    Its transaction ids mean nothing here, so the places of the subscriptions are lost. The worker does not start,
    because it would skip changes. List what would be sent with `manage.py lockstep new-epoch --plan`, and begin a new
    epoch with `manage.py lockstep new-epoch`.
    """


class SameCluster(Exception):
    """The database is in the cluster of its latest epoch: no new epoch is needed."""


class Busy(Exception):
    """A transaction holds the change log. End it and try again: commit or roll back what is in pg_prepared_xacts."""


class NotOwner(Exception):
    """Only the owner of the tables can begin a new epoch: run it as the role that runs `manage.py migrate`."""


@dataclass(slots=True)
class Epochs:
    """The namespace of message ids: the id of the first epoch, which is stored in the database."""

    first: UUID

    def message_id(self, change: Change, subscription: str) -> UUID:
        """The same for every attempt and replay of one change to one subscription, in every epoch.

        After a rollback of the database the numbers of lost changes are drawn again, but not in the same microsecond
        for the same object.
        """
        moment = microseconds(change.at)
        name = f"{change.seq}:{moment}:{change.model}:{change.object_id}:{subscription}"
        digest = sha1(self.first.bytes + name.encode(), usedforsecurity=False).digest()
        return UUID(int=int.from_bytes(digest[:16]), version=5)  # uuid5(), in half its time


@dataclass(frozen=True, slots=True)
class ServerState:
    """The server behind a connection: its clock was `at` when it was read, between two times of our own."""

    cluster: str
    database: int
    is_standby: bool
    timeline: int
    inserted: int  # bytes of the write-ahead log
    flushed: int
    at: datetime
    before: float  # of time.monotonic()
    after: float

    @classmethod
    async def read(cls, connection: Connection) -> Self:
        """Reads the current state. Needs no tables."""
        before = time.monotonic()
        row = await (await connection.execute(EPOCHS["server_state"])).fetchone() or ()
        values: TupleRow = (*row, before, time.monotonic())
        return cls(*values)


class Watch:
    """Compares the database with the last state that this process has seen."""

    def __init__(self) -> None:
        self._seen: ServerState | None = None

    def turned_back(self, state: ServerState) -> str | None:
        """How the database was rolled back or replaced since the last state; None where it was not.

        A crash loses only what was not flushed.
        """
        seen = self._seen
        if seen is None:
            return None
        if state.database != seen.database:
            return "it was dropped and made again"
        if state.timeline != seen.timeline:
            return f"it is on timeline {state.timeline} and was on {seen.timeline}"
        if state.inserted < seen.flushed:
            return f"it has {seen.flushed - state.inserted:,} bytes of its write-ahead log less than it had"
        return None

    def stepped_back(self, state: ServerState) -> float:
        """By how many seconds the database's clock stepped back since the last state; 0 where it did not."""
        seen = self._seen
        if seen is None:
            return 0.0
        step = (state.before - seen.after) - (state.at - seen.at).total_seconds()
        return step if step > MIN_STEP_SECONDS else 0.0

    def note(self, state: ServerState) -> None:
        """Stores the state for later comparisons."""
        self._seen = state

    def is_other_cluster(self, state: ServerState) -> bool:
        """Whether the state is of another cluster."""
        return self._seen is not None and state.cluster != self._seen.cluster


async def load_epochs(connection: Connection) -> Epochs:
    """Loads the namespace of message ids; begins the first epoch if there is none. Raises ClusterMismatch."""
    await connection.execute(EPOCHS["begin_first"])
    first, is_ours = await (await connection.execute(EPOCHS["epochs"])).fetchone() or (None, False)
    if not is_ours or first is None:
        raise ClusterMismatch
    return Epochs(first)


async def note_timeline(connection: Connection) -> int | None:
    """Records a new timeline of the database and returns it; None where there is none, or another worker was first."""
    row = await (await connection.execute(EPOCHS["note_timeline"])).fetchone()
    return int(row[0]) if row else None


def preview_new_epoch() -> dict[str, int]:
    """How many changes a new epoch would fan out, by subscription. Raises SameCluster."""
    with transaction.atomic(lockstep_settings.DATABASE):
        _refuse_same_cluster()
        _run("mark_native")
        return dict(_run("preview"))


def begin_new_epoch() -> dict[str, int]:
    """Fans out the pending changes of the old epoch and those written since, and begins a new epoch.

    Returns how many changes were chosen, by subscription; changes already in a lane stay there. Writers wait until it
    is done. Raises SameCluster, NotOwner, and Busy where another transaction holds the log.
    """
    with _rights(), transaction.atomic(lockstep_settings.DATABASE):
        _refuse_same_cluster()
        _lock()
        _run("mark_native")
        chosen: dict[str, int] = dict(_run("preview"))
        for statement in ("place", "start_windows", "forget_transactions", "begin"):
            _run(statement)
        return chosen


@contextmanager
def _rights() -> Iterator[None]:
    try:
        yield
    except ProgrammingError as error:
        if isinstance(error.__cause__, InsufficientPrivilege):
            raise NotOwner(NotOwner.__doc__) from error
        raise


def _refuse_same_cluster() -> None:
    rows = _run("epochs")
    if not rows or rows[0][1]:
        raise SameCluster(SameCluster.__doc__)


def _lock() -> None:
    """Locks the log, with a timeout: a prepared transaction may hold it without end."""
    with log_connection().cursor() as cursor:
        cursor.execute(LOCK_TIMEOUT)
    try:
        _run("lock")
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise Busy(Busy.__doc__) from error
        raise


def _run(statement: str) -> list[TupleRow]:
    with log_connection().cursor() as cursor:
        cursor.execute(EPOCHS[statement])
        return cursor.fetchall() if cursor.description else []
