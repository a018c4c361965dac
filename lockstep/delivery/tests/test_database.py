"""The worker's connections."""

import asyncio
from typing import Any

import psycopg
import pytest
from django.db import connections

from lockstep.changes.connecting import WatchedAsyncConnection
from lockstep.delivery import database as database_module
from lockstep.delivery.database import FOR_HANDLERS, FOR_LANES, FOR_RELAY, open_pool
from lockstep.delivery.tests.support import insert_post, rename_post
from lockstep.tests.kit.proxy import proxy_to


def test_the_pool_discards_connections_of_a_stopped_server(database: psycopg.Connection):
    async def pids() -> tuple[int, int]:
        async with open_pool(1, FOR_LANES) as pool:
            async with pool.connection() as connection:
                first = connection.info.backend_pid
            database.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")
                return first, connection.info.backend_pid

    first, second = asyncio.run(pids())
    assert first != second


@pytest.mark.parametrize("kind", [FOR_HANDLERS, FOR_LANES, FOR_RELAY], ids=["handlers", "lanes", "relay"])
def test_locks_of_a_vanished_worker_are_released(
    database: psycopg.Connection, kind: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    """PostgreSQL does not notice that its client is gone: its locks would block relay and writers for ever."""
    assert "idle_in_transaction_session_timeout" in kind
    post = insert_post(database, "a")
    port = database.info.port

    async def lock_and_freeze() -> None:
        with proxy_to(port) as proxy:
            monkeypatch.setitem(connections["default"].settings_dict, "PORT", proxy.port)
            async with (
                open_pool(1, {**kind, "idle_in_transaction_session_timeout": "200ms"}) as pool,
                pool.connection() as connection,
            ):
                await connection.execute("BEGIN")
                await connection.execute("SELECT FROM posts_post WHERE id = %s FOR UPDATE", [post])
                proxy.freeze(new=False)
                await asyncio.to_thread(rename_post, database, post, "b")
                connection.pgconn.finish()

    database.execute("SET statement_timeout = '60s'")
    asyncio.run(lock_and_freeze())


def test_a_pool_that_failed_to_connect_retries_for_waiting_clients(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
):
    """However long the database was away; and not only when their patience has ended."""
    monkeypatch.setattr(database_module, "RECONNECT_SECONDS", 0.2)
    attempts, connect = 0, WatchedAsyncConnection.connect.__func__

    async def fail_at_first(cls: Any, *args: Any, **options: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts < 12:
            raise psycopg.OperationalError("refused")
        return await connect(cls, *args, **options)

    monkeypatch.setattr(WatchedAsyncConnection, "connect", classmethod(fail_at_first))

    async def wait() -> Any:
        async with open_pool(2, FOR_LANES) as pool, pool.connection(timeout=100.0) as connection:
            return await (await connection.execute("SELECT 1")).fetchone()

    assert asyncio.run(asyncio.wait_for(wait(), 60.0)) == (1,)
