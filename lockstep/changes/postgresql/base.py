from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from lockstep.changes.connecting import WatchedConnection
from lockstep.changes.pooling import require_suitable


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection of Django's."""

    # psycopg as Django looks things up in it, but for the kind of connection.
    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": WatchedConnection.connect})

    def init_connection_state(self) -> None:
        """Raises UnsuitableDatabase."""
        connection: Any = self.connection
        connection.begin({})
        require_suitable(connection)
        super().init_connection_state()
