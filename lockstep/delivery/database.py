"""The worker's own connections: asynchronous, pooled, recognisable in pg_stat_activity."""

import select
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from lockstep.changes.connecting import WatchedAsyncConnection, connection_parameters
from lockstep.changes.sql_file import load
from lockstep.delivery.subscriptions import Pool

FILES = ("relay", "lanes", "following", "epochs", "audit", "operations", "schema", "upkeep", "heartbeat")
SQL = {file: load(Path(__file__).parent / "sql" / f"{file}.sql") for file in FILES}
APPLICATION_NAME = "lockstep-worker"
COURIERS = 6  # connections that the couriers share: each has one for a moment

Connection = AsyncConnection[TupleRow]
Admit = Callable[[Connection], Awaitable[None]]


# Custom plans, because a plan that was made while the tables were empty would be kept when they are full.
FOR_HANDLERS = {"plan_cache_mode": "force_custom_plan"}
# The few statements of relay and lanes are planned once: planning them anew each time takes longer than doing them. So
# that it does not matter when, they go by the indexes whatever the tables hold. None of them takes a minute.
PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "statement_timeout": "60s"}
FOR_LANES = PLANNED_ONCE | {"enable_hashjoin": "off", "enable_mergejoin": "off"}
FOR_RELAY = PLANNED_ONCE | {"enable_nestloop": "off"}

# A pool gives up connecting after so long, and begins anew when it is next asked. Left to itself it would wait twice as
# long after each attempt, without end.
RECONNECT_SECONDS = 5.0


def open_pool(size: int, settings: Mapping[str, str] = FOR_HANDLERS, admit: Admit | None = None) -> Pool:
    """A pool on Django's default database. Transactions are explicit; a single statement commits by itself.

    `admit` sees every new connection before anybody uses it, and raises what keeps it out.
    """
    is_for_handlers = settings == FOR_HANDLERS
    own = {"application_name": APPLICATION_NAME, "autocommit": True, "prepare_threshold": 5 if is_for_handlers else 0}

    async def configure(connection: Connection) -> None:
        await cast("WatchedAsyncConnection", connection).begin({"timezone": "UTC", **settings})
        if admit:
            await admit(connection)

    return AsyncConnectionPool(
        connection_class=WatchedAsyncConnection, kwargs=connection_parameters() | own, min_size=1, max_size=size,
        open=False, check=_check, configure=configure, reconnect_timeout=RECONNECT_SECONDS,
        timeout=30.0 if is_for_handlers else 10.0,
    )  # fmt: skip


async def _check(connection: Connection) -> None:
    """Raises where the server is gone. A connection that says nothing is a good one; a server that goes closes it."""
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    if said.poll(0):
        await AsyncConnectionPool.check_connection(connection)


@dataclass(frozen=True, slots=True)
class Pools:
    """The connections of one worker: of its handlers and periodic work, of its couriers, of its relay."""

    handlers: Pool
    lanes: Pool
    relay: Pool


@asynccontextmanager
async def open_pools(handlers: int, admit: Admit) -> AsyncIterator[Pools]:
    """The pools of one worker, with room for so many handlers."""
    async with (
        open_pool(handlers, admit=admit) as for_handlers,
        open_pool(COURIERS, FOR_LANES, admit) as for_lanes,
        open_pool(1, FOR_RELAY, admit) as for_relay,
    ):
        yield Pools(for_handlers, for_lanes, for_relay)
