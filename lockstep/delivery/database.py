"""The worker's own connections: asynchronous, pooled, recognisable in pg_stat_activity."""

import asyncio
import logging
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from lockstep.changes.connecting import WatchedAsyncConnection, connection_parameters
from lockstep.changes.sql_file import load
from lockstep.delivery.subscriptions import Pool
from lockstep.delivery.waiting import Reasons

FILES = (
    *("relay", "lanes", "following", "epochs", "audit", "operations", "schema", "places", "upkeep"),
    "heartbeat",
)
SQL = {file: load(Path(__file__).parent / "sql" / f"{file}.sql") for file in FILES}
APPLICATION_NAME = "lockstep-worker"
COURIERS = 6  # connections that the couriers share: each has one for a moment

logger = logging.getLogger(__name__)

Connection = AsyncConnection[TupleRow]
Admit = Callable[[Connection], Awaitable[None]]


# What PostgreSQL does not hear of, that its client is gone, must not leave rows locked: for the relay, or for writers.
# None of ours waits for anything but the database within a transaction that locks rows.
IDLE_TIMEOUT = {"idle_in_transaction_session_timeout": "30s"}
# Custom plans, because a plan that was made while the tables were empty would be kept when they are full.
FOR_HANDLERS = IDLE_TIMEOUT | {"plan_cache_mode": "force_custom_plan"}
# The few statements of relay and lanes are planned once: planning them anew each time takes longer than doing them. So
# that it does not matter when, they go by the indexes whatever the tables hold. None of them takes a minute.
PLANNED_ONCE = IDLE_TIMEOUT | {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "statement_timeout": "60s",
}
FOR_LANES = PLANNED_ONCE | {"enable_hashjoin": "off", "enable_mergejoin": "off"}
# A crash may undo fan-out, the places together with the deliveries: it does not wait for the disk.
FOR_RELAY = PLANNED_ONCE | {"enable_nestloop": "off", "synchronous_commit": "off"}

# A pool gives up connecting after so long, and begins anew. By itself it would wait twice as long after each attempt.
RECONNECT_SECONDS = 5.0


def open_pool(size: int, settings: Mapping[str, str] = FOR_HANDLERS, admit: Admit | None = None) -> Pool:
    """A pool on Django's default database. Transactions are explicit; a single statement commits by itself.

    `admit` sees every new connection before anybody uses it, and raises what keeps it out.
    """
    reasons = Reasons()
    is_for_handlers = settings == FOR_HANDLERS
    own = {"application_name": APPLICATION_NAME, "autocommit": True, "prepare_threshold": 5 if is_for_handlers else 0}

    async def configure(connection: Connection) -> None:
        try:
            await cast("WatchedAsyncConnection", connection).begin({"timezone": "UTC", **settings})
            if admit:
                await admit(connection)
        except Exception as error:  # of which the pool itself says nothing
            if reasons.is_new(str(error)):
                logger.warning("a connection to the database cannot be used: %s", str(error).partition("\n")[0])
            raise

    return AsyncConnectionPool(
        connection_class=WatchedAsyncConnection, kwargs=connection_parameters() | own, min_size=1, max_size=size,
        open=False, check=_check, configure=configure,
        reconnect_timeout=RECONNECT_SECONDS, reconnect_failed=_connect_anew,
        timeout=30.0 if is_for_handlers else 10.0,
    )  # fmt: skip


_asking: set[asyncio.Task[None]] = set()


async def _connect_anew(pool: Pool) -> None:
    """Lets a pool that gave up begin anew where a connection is waited for, which only another request makes it do."""
    if pool.get_stats().get("requests_waiting"):
        task = asyncio.create_task(_ask(pool))
        _asking.add(task)
        task.add_done_callback(_asking.discard)


async def _ask(pool: Pool) -> None:
    with suppress(OperationalError):  # nobody needs this one
        async with pool.connection(timeout=RECONNECT_SECONDS):
            pass


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
