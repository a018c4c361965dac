"""The worker's own connections: asynchronous, pooled, recognisable in pg_stat_activity."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from lockstep.changes.connecting import connection_parameters
from lockstep.changes.sql_file import load
from lockstep.delivery.subscriptions import Pool

FILES = ("relay", "lanes", "following", "epochs", "audit", "operations", "schema", "upkeep")
SQL = {file: load(Path(__file__).parent / "sql" / f"{file}.sql") for file in FILES}
APPLICATION_NAME = "lockstep-worker"

Connection = AsyncConnection[TupleRow]


def open_pool(size: int, admit: Callable[[Connection], Awaitable[None]] | None = None) -> Pool:
    """A pool on Django's default database. Transactions are explicit; a single statement commits by itself.

    `admit` sees every new connection before anybody uses it, and raises what keeps it out.
    """
    options = connection_parameters() | {
        "application_name": APPLICATION_NAME,
        "autocommit": True,
        "options": "-c timezone=UTC -c plan_cache_mode=force_custom_plan",
    }
    return AsyncConnectionPool(
        kwargs=options, min_size=1, max_size=size, open=False, check=AsyncConnectionPool.check_connection,
        configure=admit, reconnect_timeout=float("inf"),
    )  # fmt: skip
