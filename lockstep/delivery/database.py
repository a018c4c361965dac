"""The worker's own connections: asynchronous, pooled, recognisable in pg_stat_activity."""

import asyncio
import json
import logging
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

from django.db import connections
from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from lockstep.changes.connecting import WatchedAsyncConnection, connection_parameters
from lockstep.delivery.subscriptions import Pool
from lockstep.delivery.waiting import Reasons

__all__ = ["open_pool"]

APPLICATION_NAME = "lockstep-worker"
COURIERS = 6  # connections that the couriers share

logger = logging.getLogger(__name__)

Connection = AsyncConnection[TupleRow]
Verify = Callable[[Connection], Awaitable[None]]


# A client that is gone without closing its connection must not leave rows locked. Transactions that lock rows wait for
# nothing but the database.
IDLE_TIMEOUT = {"idle_in_transaction_session_timeout": "30s"}
# Custom plans, because a plan that was made for empty tables would be kept when they are full.
FOR_HANDLERS = IDLE_TIMEOUT | {"plan_cache_mode": "force_custom_plan"}
# The statements of relay and lanes are planned once: planning takes longer than executing them. They use indexes
# whatever the tables hold, so that it does not matter when they are planned. None of them takes a minute.
PLANNED_ONCE = IDLE_TIMEOUT | {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "statement_timeout": "60s",
}
FOR_LANES = PLANNED_ONCE | {"enable_hashjoin": "off", "enable_mergejoin": "off"}
# A crash may undo fan-out, places and deliveries together, so its commits do not wait for the disk.
FOR_RELAY = PLANNED_ONCE | {"enable_nestloop": "off", "synchronous_commit": "off"}

# A pool stops connecting after so long, and is restarted: psycopg's own pauses double with each attempt.
RECONNECT_SECONDS = 5.0


_decode = json.JSONDecoder().decode


def _loads(document: str | bytes) -> object:
    """json.loads, in two thirds of its time: PostgreSQL's encoding is known."""
    return _decode(document if isinstance(document, str) else document.decode())


def open_pool(size: int, settings: Mapping[str, str] = FOR_HANDLERS, verify: Verify | None = None) -> Pool:
    """A pool of connections to the database with the change log, in autocommit mode.

    `verify` is called with every new connection before its first use, and raises where it must not be used.
    """
    reasons = Reasons()
    is_for_handlers = settings == FOR_HANDLERS
    own = {"application_name": APPLICATION_NAME, "autocommit": True, "prepare_threshold": 5 if is_for_handlers else 0}

    async def configure(connection: Connection) -> None:
        try:
            await cast("WatchedAsyncConnection", connection).begin({"timezone": "UTC", **settings})
            set_json_loads(_loads, connection)
            if verify:
                await verify(connection)
        except Exception as error:  # which the pool does not log
            if reasons.is_new(str(error)):
                logger.warning("a connection to the database cannot be used: %s", str(error).partition("\n")[0])
            raise

    return AsyncConnectionPool(
        connection_class=WatchedAsyncConnection, kwargs=connection_parameters() | own, min_size=1, max_size=size,
        open=False, check=_check, configure=configure,
        reconnect_timeout=RECONNECT_SECONDS, reconnect_failed=_connect_anew,
        timeout=30.0 if is_for_handlers else 10.0,
    )  # fmt: skip


_requests: set[asyncio.Task[None]] = set()


async def _connect_anew(pool: Pool) -> None:
    """Restarts a pool that stopped connecting while clients wait: only another request makes it connect."""
    if pool.get_stats().get("requests_waiting"):
        task = asyncio.create_task(_request_connection(pool))
        _requests.add(task)
        task.add_done_callback(_requests.discard)


async def _request_connection(pool: Pool) -> None:
    with suppress(OperationalError):  # this connection is not needed
        async with pool.connection(timeout=RECONNECT_SECONDS):
            pass


async def _check(connection: Connection) -> None:
    """Raises where the server is gone. Only a connection with unread input is checked: a server that ends closes it."""
    unread = select.poll()
    unread.register(connection.fileno(), select.POLLIN)
    if unread.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def in_thread(function: Callable[[], object]) -> None:
    """Calls a plain function that uses Django's ORM, in a thread, and closes the connections that it opened."""

    def call() -> None:
        try:
            function()
        finally:
            connections.close_all()  # its thread is not used again

    await asyncio.to_thread(call)


@dataclass(frozen=True, slots=True)
class Pools:
    """The connections of one worker: for handlers and periodic work, for couriers, for the relay."""

    handlers: Pool
    lanes: Pool
    relay: Pool


@asynccontextmanager
async def open_pools(handlers: int, verify: Verify) -> AsyncIterator[Pools]:
    """The pools of one worker, with so many connections for handlers."""
    async with (
        open_pool(handlers, verify=verify) as for_handlers,
        open_pool(COURIERS, FOR_LANES, verify) as for_lanes,
        open_pool(1, FOR_RELAY, verify) as for_relay,
    ):
        yield Pools(for_handlers, for_lanes, for_relay)
