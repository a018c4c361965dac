"""The worker's connections."""

import asyncio

import psycopg

from lockstep.delivery.database import FOR_LANES, open_pool


def test_a_connection_whose_server_went_away_is_not_given_out(database: psycopg.Connection):
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
