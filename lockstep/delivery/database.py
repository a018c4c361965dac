"""The worker's own connections: asynchronous, pooled, recognisable in pg_stat_activity."""

import select
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from lockstep.changes.connecting import connection_parameters
from lockstep.changes.sql_file import load
from lockstep.delivery.subscriptions import Pool

FILES = ("relay", "lanes", "following", "epochs", "audit", "operations", "schema", "places", "upkeep")
SQL = {file: load(Path(__file__).parent / "sql" / f"{file}.sql") for file in FILES}
APPLICATION_NAME = "lockstep-worker"
COURIERS = 6  # connections that the couriers share: each has one for a moment

Connection = AsyncConnection[TupleRow]
Admit = Callable[[Connection], Awaitable[None]]


# Custom plans, because a plan that was made while the tables were empty would be kept when they are full.
FOR_HANDLERS = "-c plan_cache_mode=force_custom_plan"
# The few statements of relay and lanes are planned once: planning them anew each time takes longer than doing them. So
# that it does not matter when, they go by the indexes whatever the tables hold.
PLANNED_ONCE = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off"
FOR_LANES = f"{PLANNED_ONCE} -c enable_hashjoin=off -c enable_mergejoin=off"
# A crash may undo fan-out, the places together with the deliveries: it does not wait for the disk.
FOR_RELAY = f"{PLANNED_ONCE} -c enable_nestloop=off -c synchronous_commit=off"


def open_pool(size: int, options: str = FOR_HANDLERS, admit: Admit | None = None) -> Pool:
    """A pool on Django's default database. Transactions are explicit; a single statement commits by itself.

    `admit` sees every new connection before anybody uses it, and raises what keeps it out.
    """
    parameters = connection_parameters() | {
        "application_name": APPLICATION_NAME,
        "autocommit": True,
        "prepare_threshold": 5 if options == FOR_HANDLERS else 0,
        "options": f"-c timezone=UTC {options}",
    }
    return AsyncConnectionPool(
        kwargs=parameters, min_size=1, max_size=size, open=False, check=_check,
        configure=admit, reconnect_timeout=float("inf"),
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
