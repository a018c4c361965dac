"""Reads the log for a client that keeps its own position, without gaps or repetitions.

A number of the log is no position: a transaction may commit late what it numbered early. A position is two snapshots, a
number and a change that proves their origin (sql/log_reader.sql), written as one opaque string.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import psycopg
from psycopg.rows import TupleRow

from lockstep.changes.attribution import Actor, confirm_statement
from lockstep.changes.connecting import ConnectionParameters, WatchedConnection, connection_parameters
from lockstep.changes.wakeup import LISTEN
from lockstep.delivery.subscriptions import Change
from lockstep.delivery.values import from_microseconds, microseconds
from lockstep.sql import statements

LOG_READER = statements(__file__, "log_reader")

CHUNK = 500  # changes read at once
OWN: ConnectionParameters = {"autocommit": True, "application_name": "lockstep-feed"}
SESSION = {"timezone": "UTC", "plan_cache_mode": "force_custom_plan", "statement_timeout": "60s"}
MAX_POSITION_LENGTH = 6_000  # characters; a snapshot names every transaction that was open


_SNAPSHOT = r"[0-9]{1,20}:[0-9]{1,20}:(?:[0-9]{1,20}(?:,[0-9]{1,20})*)?"
_LAST = r"([0-9]{1,18})\.([0-9]{1,16})|-"
_POSITION = re.compile(rf"([0-9a-f]{{8}})/({_SNAPSHOT})/({_SNAPSHOT})/([0-9]{{1,18}})/(?:{_LAST})")


class InvalidPosition(Exception):
    """The text is not a position in this log."""


class LogNotInitialised(Exception):
    """The log cannot be read: no worker has run on this database, it is a standby, or it needs a new epoch."""


class PositionExpired(Exception):
    """The log cannot continue from this position: it was dropped up to there, or the database lost changes before it.

    Start from now, and read the missed changes elsewhere.
    """


@dataclass(frozen=True, slots=True)
class Last:
    """A change that proves a position, by its number and time: no later change has both."""

    seq: int
    at: datetime

    def __str__(self) -> str:
        return f"{self.seq}.{microseconds(self.at)}"


@dataclass(frozen=True, slots=True)
class Position:
    """How far a client has read: all that `start` shows, and of the window up to `end` all up to `seq`.

    Neither shows a transaction above that of the change `last`; without it, none above the dropped part of the log.
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
        """Parses a position. Raises InvalidPosition."""
        match = _POSITION.fullmatch(text) if len(text) <= MAX_POSITION_LENGTH else None
        if match is None:
            raise InvalidPosition(InvalidPosition.__doc__)
        epoch, start, end, seq, last_seq, last_at = match.groups()
        last = Last(int(last_seq), from_microseconds(int(last_at))) if last_seq else None
        return cls(epoch, start, end, int(seq), last)

    @property
    def last_xid(self) -> int:
        """The highest transaction that it shows."""
        return int(self.end.split(":")[1]) - 1


def cut(snapshot: str, last_xid: int) -> str:
    """The snapshot without transactions above `last_xid`: it shows the same changes if it showed none above."""
    xip = snapshot.split(":")[2]
    running = [xid for xid in xip.split(",") if xid and int(xid) <= last_xid]
    return f"{running[0] if running else last_xid + 1}:{last_xid + 1}:{','.join(running)}"


class LogReader:
    """Reads the log from a position."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection

    def now(self) -> Position:
        """The current end of the log. Raises LogNotInitialised."""
        epoch, snapshot, xid, seq, at, dropped, is_here = self._row("now")
        if not is_here:
            raise LogNotInitialised(LogNotInitialised.__doc__)
        last_xid = max(xid or 0, dropped or 0)
        here = cut(snapshot, last_xid)
        return Position(epoch, here, here, 0, Last(seq, at) if xid == last_xid else None)

    def validate(self, position: Position) -> None:
        """Raises InvalidPosition, LogNotInitialised or PositionExpired where the log cannot be read from here."""
        last = {
            "last_xid": str(position.last_xid),
            "last_seq": position.last and position.last.seq,
            "last_at": position.last and position.last.at,
        }
        try:
            is_here, is_ours, is_past, is_kept, _ = self._row(
                "validate", epoch=position.epoch, start=position.start, end=position.end, **last
            )
        except psycopg.DataError as error:
            raise InvalidPosition(InvalidPosition.__doc__) from error
        if not is_here:
            raise LogNotInitialised(LogNotInitialised.__doc__)
        if not (is_ours and is_past and is_kept):
            raise PositionExpired(PositionExpired.__doc__)

    def read(self, position: Position) -> list[tuple[Position, Change]]:
        """The next changes of the window, each with the position after it; none at its end."""
        choice = {"start": position.start, "end": position.end, "seq": position.seq, "limit": CHUNK}
        rows = self._connection.execute(LOG_READER["read"], choice).fetchall()
        changes = [Change(*row) for row in rows]
        return [(replace(position, seq=change.seq), change) for change in changes]

    def next_window(self, position: Position) -> Position:
        """The position at the start of the next window. Only for a position at the end of its own."""
        snapshot, first, xid = self._row("next_window", start=position.end)
        last_xid, last = position.last_xid, position.last
        if xid is not None and xid > last_xid:
            last_xid, last = xid, Last(*self._row("last_of", xid=str(xid)))
        end = cut(snapshot, last_xid)
        if first is None:
            return Position(position.epoch, end, end, 0, last)
        return Position(position.epoch, position.end, end, first - 1, last)

    def confirms(self, actor: Actor) -> bool:
        """Whether this actor is still entitled."""
        confirmed: object = self._one(confirm_statement(actor), actor.parameters)[0]
        return confirmed is True

    def wait(self, seconds: float) -> None:
        """Waits for a notification that the log has grown, or so many seconds."""
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            return

    def _row(self, statement: str, **parameters: object) -> TupleRow:
        return self._one(LOG_READER[statement], parameters)

    def _one(self, statement: str, parameters: Mapping[str, object]) -> TupleRow:
        row: TupleRow | None = self._connection.execute(statement, parameters).fetchone()
        if row is None:
            raise LogNotInitialised(LogNotInitialised.__doc__)
        return row


@contextmanager
def open_log_reader() -> Iterator[LogReader]:
    """Opens a reader on a connection of its own, which listens for commits."""
    with WatchedConnection.connect(**connection_parameters() | OWN) as connection:
        connection.begin(SESSION)
        connection.execute(LISTEN)
        yield LogReader(connection)
