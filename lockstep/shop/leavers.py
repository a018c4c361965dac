"""Whoever deletes their account leaves the shop: their products go, whatever deleted the account."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from lockstep.changes.sql_file import load
from lockstep.delivery.subscriptions import Claim, Subscriber

SQL = load(Path(__file__).parent / "sql" / "leavers.sql")


async def _remove_products(connection: AsyncConnection[Any], claims: Sequence[Claim]) -> None:
    gone = [claim.change.object_id for claim in claims if claim.change.after is None]
    if gone:
        await connection.execute(SQL["remove_products"], {"owners": gone})


LEAVERS = Subscriber(
    name="shop-leavers", kind="state", models=("accounts.user",), within=_remove_products, batch=100, concurrency=1
)
