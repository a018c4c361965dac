"""Checks that a server is suitable: PostgreSQL 16 or newer, directly or behind a session pooler.

A transaction pooler (pgbouncer's pool_mode=transaction) loses LISTEN, temporary tables, settings and prepared
statements between two statements, mostly without an error (decision 47).
"""

from lockstep.changes.connecting import Probe, Watched
from lockstep.changes.database_errors import MINIMUM_VERSION, UnsuitableDatabase

ROUNDS = 3
POOLED = (
    "The database's address is that of a pooler that gives each transaction another session. Use a pooler that keeps a "
    "session for its client (pgbouncer: pool_mode=session), or PostgreSQL itself."
)

_examined: set[tuple[str, int, str, str]] = set()


def require_suitable(connection: Watched) -> None:
    """Raises UnsuitableDatabase. Each server is checked once in a process."""
    if connection.pgconn.server_version < MINIMUM_VERSION * 10_000:
        major = connection.pgconn.server_version // 10_000
        raise UnsuitableDatabase(f"PostgreSQL {MINIMUM_VERSION} or newer is needed, and this is {major}.")
    if connection.server_pid in (None, connection.pgconn.backend_pid):
        return  # no pooler
    server = (connection.info.host, connection.info.port, connection.info.dbname, connection.info.user)
    if server not in _examined:
        if shares_its_session(connection):
            raise UnsuitableDatabase(POOLED)
        _examined.add(server)


def shares_its_session(connection: Watched) -> bool:
    """Whether the session changes between two statements, or is shared with another client."""
    with Probe.connect(**connection.address(), autocommit=True) as mine, Probe.connect(**connection.address()) as other:
        for _ in range(ROUNDS):
            ours = _session(mine)
            if _session(other) == ours or _session(mine) != ours:  # the other transaction keeps its session
                return True
            other.rollback()
    return False


def _session(connection: Probe) -> object:
    return connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
