"""Following the log from outside: whoever does so keeps his own place and misses and repeats nothing.

The numbers of the log are no place: a transaction may commit late what it numbered early. Two snapshots and a number
are (sql/following.sql), written as one opaque text.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import psycopg

from lockstep.changes.attribution import Actor
from lockstep.changes.connecting import WatchedConnection, connection_parameters
from lockstep.changes.wakeup import CHANNEL
from lockstep.delivery.database import SQL
from lockstep.delivery.subscriptions import Change

FOLLOWING = SQL["following"]
CHUNK = 500  # changes read at once
OWN: dict[str, Any] = {"autocommit": True, "application_name": "lockstep-feed"}
SESSION = {"timezone": "UTC", "plan_cache_mode": "force_custom_plan", "statement_timeout": "60s"}
LONGEST_PLACE = 6_000  # characters; a snapshot names every transaction that was open

_SNAPSHOT = r"[0-9]{1,20}:[0-9]{1,20}:(?:[0-9]{1,20}(?:,[0-9]{1,20})*)?"
_PLACE = re.compile(rf"([0-9a-f]{{8}})/({_SNAPSHOT})/({_SNAPSHOT})/([0-9]{{1,18}})")


class NoPlace(Exception):
    """This is not a place in this log."""


class NoLog(Exception):
    """This database has no epoch yet: no worker has ever run on it."""


class Forgotten(Exception):
    """The log does not reach back to this place any more: start anew, and read what you missed elsewhere."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has read: all that `start` shows, and of the window up to `end` all up to `seq`."""

    epoch: str
    start: str
    end: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}/{self.start}/{self.end}/{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that was written so. Raises NoPlace."""
        match = _PLACE.fullmatch(text) if len(text) <= LONGEST_PLACE else None
        if match is None:
            raise NoPlace(NoPlace.__doc__)
        epoch, start, end, seq = match.groups()
        return cls(epoch, start, end, int(seq))


class Follower:
    """Reads the log for one who follows it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def now(self) -> Place:
        """The place from which on everything is new. Raises NoLog."""
        epoch, snapshot = self._row("now")
        return Place(epoch, snapshot, snapshot, 0)

    def examine(self, place: Place) -> None:
        """Raises NoPlace, NoLog or Forgotten where nobody can go on."""
        try:
            future, ours, kept = self._row("examine", epoch=place.epoch, start=place.start, end=place.end)
        except psycopg.DataError as error:
            raise NoPlace(NoPlace.__doc__) from error
        if future:
            raise NoPlace(NoPlace.__doc__)
        if not ours or not kept:
            raise Forgotten(Forgotten.__doc__)

    def read(self, place: Place) -> list[tuple[Place, Change]]:
        """The next changes of the window, each with the place after it; none at its end."""
        choice = {"start": place.start, "end": place.end, "seq": place.seq, "limit": CHUNK}
        rows = self._connection.execute(FOLLOWING["read"], choice).fetchall()
        changes = [Change(*row) for row in rows]
        return [(replace(place, seq=change.seq), change) for change in changes]

    def move_on(self, place: Place) -> Place:
        """The place at the beginning of the next window. Only for a place at the end of its own."""
        end, first = self._one(FOLLOWING["next_window"], {"start": place.end})
        if first is None:
            return Place(place.epoch, end, end, 0)
        return Place(place.epoch, place.end, end, first - 1)

    def confirms(self, actor: Actor) -> bool:
        """Whether this actor is as entitled as when it was let in."""
        confirmed: object = self._one(f"SELECT {actor.confirmation.sql}", dict(actor.confirmation.parameters))[0]
        return confirmed is True

    def wait(self, seconds: float) -> None:
        """Until somebody tells that the log has grown, or so many seconds."""
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            return

    def _row(self, statement: str, **parameters: object) -> tuple[Any, ...]:
        return self._one(FOLLOWING[statement], parameters)

    def _one(self, statement: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(statement, parameters).fetchone()
        if row is None:
            raise NoLog(NoLog.__doc__)
        return row


@contextmanager
def following() -> Iterator[Follower]:
    """A follower on a connection of its own, which hears of commits."""
    with WatchedConnection.connect(**connection_parameters() | OWN) as connection:
        connection.begin(SESSION)
        connection.execute(f"LISTEN {CHANNEL}")
        yield Follower(connection)
