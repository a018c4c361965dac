"""Where the stand-in keeps tokens and charges: SQLite. Of a card it keeps the behaviour and the last four digits."""

import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from devstack.sandbox.payments.card_behaviours import BEHAVIOURS, CardBehaviour, Delays
from devstack.sandbox.storage import open_database

Status = Literal["approved", "declined", "pending"]

_SCHEMA = """
create table if not exists tokens (token text primary key, behaviour text not null, last4 text not null);
create table if not exists attempts (key text primary key, count integer not null);
create table if not exists charges (
    place integer primary key,  -- charges are listed in the order in which they came
    id text not null,
    key text not null unique,
    token text not null,
    amount text not null,
    currency text not null,
    reason text,                -- why it is declined, if it is
    shown_at real not null,     -- from when on a look-up finds it
    decided_at real not null    -- until when it is pending
);
"""
_COUNT_ATTEMPT = """
insert into attempts values (?, 1) on conflict (key) do update set count = count + 1 returning count
"""
_ADD_CHARGE = """
insert into charges (id, key, token, amount, currency, reason, shown_at, decided_at) values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (key) do nothing returning id
"""
_CHARGES = "select id, key, token, amount, currency, reason, shown_at, decided_at from charges"


@dataclass(frozen=True)
class Entry:
    """A charge as it is kept. The moments are seconds since 1970."""

    id: str
    key: str
    token: str
    amount: str
    currency: str
    reason: str | None
    shown_at: float
    decided_at: float

    def status(self, now: float) -> Status:
        """What it is at a moment."""
        if now < self.decided_at:
            return "pending"
        return "declined" if self.reason else "approved"

    def document(self, now: float) -> dict[str, object]:
        """The charge as it is sent: {"id", "key", "status", "reason", "amount", "currency"}."""
        status = self.status(now)
        return {
            "id": self.id,
            "key": self.key,
            "status": status,
            "reason": self.reason if status == "declined" else None,
            "amount": self.amount,
            "currency": self.currency,
        }


class Ledger:
    """Tokens and charges. Safe to use from several threads. With a folder it lasts over restarts."""

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._ahead = 0.0
        self._database = open_database(folder, "payments.sqlite3")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Ends it; what was written in a folder stays."""
        with self._lock:
            self._database.close()

    def now(self) -> float:
        """Seconds since 1970, and those that were skipped."""
        return time.time() + self._ahead

    def skip(self, seconds: float) -> None:
        """Lets so much time pass at once."""
        self._ahead += seconds

    def add_token(self, behaviour: CardBehaviour, last4: str) -> str:
        """A new token that stands for a card."""
        token = f"tok_{uuid.uuid4().hex}"
        self._rows("insert into tokens values (?, ?, ?)", token, behaviour.name, last4)
        return token

    def behaviour(self, token: str) -> CardBehaviour | None:
        """That of the token's card; None for a token that we never gave."""
        found = self._rows("select behaviour from tokens where token = ?", token)
        return BEHAVIOURS[found[0][0]] if found else None

    def count_attempt(self, key: str) -> int:
        """How many requests have come with this key, this one included."""
        return int(self._rows(_COUNT_ATTEMPT, key)[0][0])

    def add_charge(
        self, key: str, token: str, amount: str, currency: str, behaviour: CardBehaviour, delays: Delays
    ) -> bool:
        """Charges, unless the key has a charge already; whether it did."""
        now = self.now()
        shown_at, decided_at = (now + delays.hidden, now + delays.undecided) if behaviour.late else (now, now)
        name = f"ch_{uuid.uuid4().hex}"
        return bool(self._rows(_ADD_CHARGE, name, key, token, amount, currency, behaviour.reason, shown_at, decided_at))

    def charge(self, key: str) -> Entry | None:
        """The charge of this key."""
        found = self._rows(f"{_CHARGES} where key = ?", key)
        return Entry(*found[0]) if found else None

    def charges(self) -> list[Entry]:
        """All charges, oldest first."""
        return [Entry(*row) for row in self._rows(f"{_CHARGES} order by place")]

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()
