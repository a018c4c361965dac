"""Where the counter keeps what it has counted: SQLite, a row for each message."""

import threading
from pathlib import Path

from devstack.sandbox.storage import open_database

_SCHEMA = """
create table if not exists messages (id text primary key, user integer not null, action text not null);
create table if not exists repeats (id text not null);
"""
_TALLIES = "select user, sum(action = 'create'), sum(action = 'delete') from messages group by user order by user"


class Tallies:
    """Messages, each counted once. Safe to use from several threads. With a folder it lasts over restarts."""

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._database = open_database(folder, "counter.sqlite3")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Ends it; what was written in a folder stays."""
        with self._lock:
            self._database.close()

    def count(self, message_id: str, user: int, action: str) -> bool:
        """Whether this message is new. A repeat counts for nothing."""
        with self._lock:
            added = self._database.execute(
                "insert into messages values (?, ?, ?) on conflict do nothing", (message_id, user, action)
            )
            if not added.rowcount:
                self._database.execute("insert into repeats values (?)", (message_id,))
            return bool(added.rowcount)

    def shown(self) -> dict[str, object]:
        """{"users": {"1": {"create", "delete"}}, "messages", "repeats"}"""
        with self._lock:
            tallies = self._database.execute(_TALLIES).fetchall()
            [(repeats,)] = self._database.execute("select count(*) from repeats").fetchall()
        return {
            "users": {str(user): {"create": created, "delete": deleted} for user, created, deleted in tallies},
            "messages": sum(created + deleted for _, created, deleted in tallies),
            "repeats": repeats,
        }
