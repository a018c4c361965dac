"""Following the log from outside: a client keeps its own place and misses and repeats nothing.

The numbers of the log are no place: a transaction may commit late what it numbered early. Two snapshots and a number
are, with a change that proves where they come from (sql/following.sql), written as one opaque text.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import psycopg

from lockstep.changes.attribution import Actor
from lockstep.changes.connecting import WatchedConnection, connection_parameters
from lockstep.changes.wakeup import CHANNEL
from lockstep.delivery.database import SQL
from lockstep.delivery.subscriptions import Change
from lockstep.delivery.values import from_microseconds, microseconds

FOLLOWING = SQL["following"]
CHUNK = 500  # changes read at once
OWN: dict[str, Any] = {"autocommit": True, "application_name": "lockstep-feed"}
SESSION = {"timezone": "UTC", "plan_cache_mode": "force_custom_plan", "statement_timeout": "60s"}
LONGEST_PLACE = 6_000  # characters; a snapshot names every transaction that was open


_SNAPSHOT = r"[0-9]{1,20}:[0-9]{1,20}:(?:[0-9]{1,20}(?:,[0-9]{1,20})*)?"
_LAST = r"([0-9]{1,18})\.([0-9]{1,16})|-"
_PLACE = re.compile(rf"([0-9a-f]{{8}})/({_SNAPSHOT})/({_SNAPSHOT})/([0-9]{{1,18}})/(?:{_LAST})")


class NoPlace(Exception):
    """This is not a place in this log."""


class NoLog(Exception):
    """There is no log to follow: no worker has run on this database, or it is a standby, or waits for a new epoch."""


class Forgotten(Exception):
    """The log cannot go on from this place: it does not reach back so far, or the database lost what was read there.

    Start anew, and read what you missed elsewhere.
    """


@dataclass(frozen=True, slots=True)
class Last:
    """A change that proves a place, by its number and its time: no later change ever has both."""

    seq: int
    at: datetime

    def __str__(self) -> str:
        return f"{self.seq}.{microseconds(self.at)}"


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has read: all that `start` shows, and of the window up to `end` all up to `seq`.

    Neither shows a transaction above that of the change `last`; without one, none above what was dropped from the log.
    """

    epoch: str
    start: str
    end: str
    seq: int
    last: Last | None

    def __str__(self) -> str:
        return f"{self.epoch}/{self.start}/{self.end}/{self.seq}/{self.last or '-'}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that was written so. Raises NoPlace."""
        match = _PLACE.fullmatch(text) if len(text) <= LONGEST_PLACE else None
        if match is None:
            raise NoPlace(NoPlace.__doc__)
        epoch, start, end, seq, last_seq, last_at = match.groups()
        last = Last(int(last_seq), from_microseconds(int(last_at))) if last_seq else None
        return cls(epoch, start, end, int(seq), last)

    @property
    def last_xid(self) -> int:
        """The largest transaction that it shows."""
        return int(self.end.split(":")[1]) - 1


def cut(snapshot: str, last_xid: int) -> str:
    """The snapshot without what is above `last_xid`. It shows the same changes, where it showed none above that."""
    xip = snapshot.split(":")[2]
    running = [xid for xid in xip.split(",") if xid and int(xid) <= last_xid]
    return f"{running[0] if running else last_xid + 1}:{last_xid + 1}:{','.join(running)}"


class Follower:
    """Reads the log for one who follows it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def now(self) -> Place:
        """The place from which on everything is new. Raises NoLog."""
        epoch, snapshot, xid, seq, at, dropped, is_here = self._row("now")
        if not is_here:
            raise NoLog(NoLog.__doc__)
        last_xid = max(xid or 0, dropped or 0)
        here = cut(snapshot, last_xid)
        return Place(epoch, here, here, 0, Last(seq, at) if xid == last_xid else None)

    def examine(self, place: Place) -> None:
        """Raises NoPlace, NoLog or Forgotten where nobody can go on."""
        last = {
            "last_xid": str(place.last_xid),
            "last_seq": place.last and place.last.seq,
            "last_at": place.last and place.last.at,
        }
        try:
            is_here, is_ours, is_past, is_kept, _ = self._row(
                "examine", epoch=place.epoch, start=place.start, end=place.end, **last
            )
        except psycopg.DataError as error:
            raise NoPlace(NoPlace.__doc__) from error
        if not is_here:
            raise NoLog(NoLog.__doc__)
        if not (is_ours and is_past and is_kept):
            raise Forgotten(Forgotten.__doc__)

    def read(self, place: Place) -> list[tuple[Place, Change]]:
        """The next changes of the window, each with the place after it; none at its end."""
        choice = {"start": place.start, "end": place.end, "seq": place.seq, "limit": CHUNK}
        rows = self._connection.execute(FOLLOWING["read"], choice).fetchall()
        changes = [Change(*row) for row in rows]
        return [(replace(place, seq=change.seq), change) for change in changes]

    def move_on(self, place: Place) -> Place:
        """The place at the beginning of the next window. Only for a place at the end of its own."""
        snapshot, first, xid = self._row("next_window", start=place.end)
        last_xid, last = place.last_xid, place.last
        if xid is not None and xid > last_xid:
            last_xid, last = xid, Last(*self._row("last_of", xid=str(xid)))
        end = cut(snapshot, last_xid)
        if first is None:
            return Place(place.epoch, end, end, 0, last)
        return Place(place.epoch, place.end, end, first - 1, last)

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
