from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from lockstep.changes.connecting import WatchedConnection
from lockstep.changes.pooling import require_suitable


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection, of the class WatchedConnection."""

    # psycopg's module with another `connect`.
    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": WatchedConnection.connect})

    def init_connection_state(self) -> None:
        """Raises UnsuitableDatabase."""
        self.connection.begin({})
        require_suitable(self.connection)
        super().init_connection_state()
