"""The lives of the database: whether it turned back, and how it goes on after a restore (sql/epochs.sql).

A message id is made of what a change brings along wherever its database goes, so that no life of it has to be known:
not that of a replica that was promoted and lacks the last changes, nor that of a backup that was put in the place of
the data.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.db import OperationalError, ProgrammingError, connection, transaction
from psycopg.errors import InsufficientPrivilege, LockNotAvailable
from uuid_utils.compat import uuid5

from lockstep.delivery.database import SQL, Connection
from lockstep.delivery.subscriptions import Change
from lockstep.delivery.values import microseconds

EPOCHS = SQL["epochs"]
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"
SHORTEST_STEP = 1.0  # seconds that a clock steps back to be noticed
MANUAL = 'See "After a fail-over, a base backup, a restore" in docs/operations.md.'


class ForeignDatabase(Exception):
    """This database was restored from another cluster, or copied to one.

    Transaction ids mean nothing here, so the places of the subscriptions are lost. The worker does not start, rather
    than leave out changes in silence. See what would go out with `manage.py delivery new-epoch --plan`, and begin a new
    epoch with `manage.py delivery new-epoch`.
    """


class SameCluster(Exception):
    """This database lives where it always did: there is no reason for a new epoch."""


class Busy(Exception):
    """A transaction holds the change log. End it and try again: commit or roll back what is in pg_prepared_xacts."""


class NotOwner(Exception):
    """A new epoch is begun by the owner of the tables: run it as the role that runs `manage.py migrate`."""


@dataclass(slots=True)
class Epochs:
    """What message ids are made with: the id of the first life, which goes wherever the database goes."""

    first: UUID

    def message_id(self, change: Change, subscription: str) -> UUID:
        """The same for every attempt and every replay of one change to one subscription, whatever life it is in now.

        Where a database turned back, the numbers of lost changes are drawn again, but not in the same microsecond for
        the same object.
        """
        moment = microseconds(change.at)
        return uuid5(self.first, f"{change.seq}:{moment}:{change.model}:{change.object_id}:{subscription}")


@dataclass(frozen=True, slots=True)
class Life:
    """Where a connection leads to, and when it was looked at: `at` by its clock, `asked` and `told` by our own."""

    cluster: str
    database: int
    is_standby: bool
    timeline: int
    inserted: int  # bytes of the write-ahead log
    flushed: int
    at: datetime
    asked: float
    told: float

    @classmethod
    async def read(cls, connection: Connection) -> Self:
        """That of this connection's database, as it is now. Needs no tables."""
        asked = time.monotonic()
        row = await (await connection.execute(EPOCHS["life"])).fetchone() or ()
        values: tuple[Any, ...] = (*row, asked, time.monotonic())
        return cls(*values)


class Watch:
    """What one process has seen of its database, and whether that is still what the database says."""

    def __init__(self) -> None:
        self._seen: Life | None = None

    def turned_back(self, life: Life) -> str | None:
        """How the database has become another one than this process has seen; None when it has not.

        A crash takes back only what was not flushed.
        """
        seen = self._seen
        if seen is None:
            return None
        if life.database != seen.database:
            return "it was dropped and made again"
        if life.timeline != seen.timeline:
            return f"it is on timeline {life.timeline} and was on {seen.timeline}"
        if life.inserted < seen.flushed:
            return f"it has {seen.flushed - life.inserted:,} bytes of its write-ahead log less than it had"
        return None

    def stepped_back(self, life: Life) -> float:
        """By how many seconds the database's clock stepped back since it was last looked at; 0 when it did not."""
        seen = self._seen
        if seen is None:
            return 0.0
        step = (life.asked - seen.told) - (life.at - seen.at).total_seconds()
        return step if step > SHORTEST_STEP else 0.0

    def note(self, life: Life) -> None:
        """What later looks are compared with."""
        self._seen = life

    def is_foreign(self, life: Life) -> bool:
        """Whether another cluster answers than did."""
        return self._seen is not None and life.cluster != self._seen.cluster


async def load_epochs(connection: Connection) -> Epochs:
    """What message ids are made with; the first life begins here. Raises ForeignDatabase."""
    await connection.execute(EPOCHS["begin_first"])
    first, is_ours = await (await connection.execute(EPOCHS["epochs"])).fetchone() or (None, False)
    if not is_ours or first is None:
        raise ForeignDatabase
    return Epochs(first)


async def note_timeline(connection: Connection) -> int | None:
    """The timeline that the database has begun since a worker last looked; for one worker only, for others None."""
    row = await (await connection.execute(EPOCHS["note_timeline"])).fetchone()
    return int(row[0]) if row else None


def preview_new_epoch() -> dict[str, int]:
    """How many changes a new epoch would place, for each subscription. Raises SameCluster."""
    with transaction.atomic():
        _refuse_same_cluster()
        _run("mark_native")
        return dict(_run("preview"))


def begin_new_epoch() -> dict[str, int]:
    """Places what the old life had not fanned out, and what was written since, and lets everything go on from here.

    Returns how many changes were chosen for each subscription; those that waited in a lane already wait there still.
    Writers wait until it is done. Raises SameCluster, NotOwner, and Busy where a transaction holds on to the log.
    """
    with _rights(), transaction.atomic():
        _refuse_same_cluster()
        _lock()
        _run("mark_native")
        chosen = dict(_run("preview"))
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
    """A prepared transaction would be waited for for ever."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_TIMEOUT)
    try:
        _run("lock")
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise Busy(Busy.__doc__) from error
        raise


def _run(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(EPOCHS[statement].replace("{pending}", EPOCHS["pending"]))
        return cursor.fetchall() if cursor.description else []
