"""The lives of the database, and how a new one begins after a dump was restored (sql/epochs.sql)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from uuid_utils.compat import uuid5

from lockstep.delivery.database import SQL, Connection

EPOCHS = SQL["epochs"]


class ForeignDatabase(Exception):
    """This database was restored from another cluster, or copied to one.

    Transaction ids mean nothing here, so the places of the subscriptions are lost. The worker does not start, rather
    than leave out changes in silence. See what would go out with `manage.py delivery new-epoch --plan`, and begin a new
    epoch with `manage.py delivery new-epoch`.
    """


class SameCluster(Exception):
    """This database lives where it always did: there is no reason for a new epoch."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """(first seq, id) of every life, the latest first."""

    lives: Sequence[tuple[int, UUID]]

    def message_id(self, seq: int, subscription: str) -> UUID:
        """The same for every attempt and every replay of one change to one subscription, whatever life it is in now."""
        epoch = next(epoch for first, epoch in self.lives if seq >= first)
        return uuid5(epoch, f"{seq}:{subscription}")


async def load_epochs(connection: Connection) -> Epochs:
    """Every life of this database; the first one begins here. Raises ForeignDatabase."""
    await connection.execute(EPOCHS["begin_first"])
    rows = await (await connection.execute(EPOCHS["epochs"])).fetchall()
    if not rows[0][2]:
        raise ForeignDatabase
    return Epochs([(first, epoch) for first, epoch, _ in rows])


async def cluster(connection: Connection) -> str:
    """Which cluster this connection leads to."""
    (identifier,) = await (await connection.execute(EPOCHS["cluster"])).fetchone() or ("",)
    return str(identifier)


def preview_new_epoch() -> dict[str, int]:
    """How many changes a new epoch would place, for each subscription. Raises SameCluster."""
    with transaction.atomic():
        _refuse_same_cluster()
        _run("mark_native")
        return dict(_run("preview"))


def begin_new_epoch() -> dict[str, int]:
    """Places what the old life had not fanned out, and what was written since, and lets everything go on from here.

    Returns how many changes were chosen for each subscription; those that waited in a lane already wait there still.
    Raises SameCluster. Writers wait until it is done.
    """
    with transaction.atomic():
        _refuse_same_cluster()
        for statement in ("lock", "mark_native"):
            _run(statement)
        chosen = dict(_run("preview"))
        for statement in ("place", "start_windows", "forget_transactions", "begin"):
            _run(statement)
        return chosen


def _refuse_same_cluster() -> None:
    rows = _run("epochs")
    if not rows or rows[0][2]:
        raise SameCluster(SameCluster.__doc__)


def _run(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(EPOCHS[statement].replace("{pending}", EPOCHS["pending"]))
        return cursor.fetchall() if cursor.description else []
