"""Where stand-ins keep their data: SQLite, in a folder or in memory."""

import sqlite3
from pathlib import Path


def open_database(folder: Path | None, name: str) -> sqlite3.Connection:
    """A connection for several threads, which must not use it at once. Each statement commits by itself."""
    database = sqlite3.connect(folder / name if folder else ":memory:", check_same_thread=False, isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = normal")
    return database
