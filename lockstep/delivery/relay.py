"""The relay: from the change log to the lanes, one subscription at a time (sql/relay.sql says how)."""

import logging
from typing import NamedTuple

from lockstep.delivery.database import SQL, Connection
from lockstep.delivery.subscriptions import Subscriber

logger = logging.getLogger(__name__)

CHUNK = 10_000  # numbers of the log gone past in one transaction
COUNTS_TO_THE_CAP = 8  # how often what waits is counted while a subscription fills up

RELAY = SQL["relay"]


class Moved(NamedTuple):
    """How far a fan-out went: the changes that it went past, and how many of them it placed in lanes."""

    changes: int
    placed: int


async def declare(connection: Connection, subscriber: Subscriber) -> None:
    """Writes the subscription down as the code has it. A new one starts now; an old one keeps its place."""
    await connection.execute(SQL["upkeep"]["declare_subscription"], subscriber.row)


async def subscriptions_behind(connection: Connection) -> list[str]:
    """Names of the active subscriptions that have changes to fan out."""
    cursor = await connection.execute(RELAY["behind"])
    return [name for (name,) in await cursor.fetchall()]


async def subscriptions_due(connection: Connection) -> dict[str, float]:
    """Seconds until something is due, of each subscription for which something waits; 0 or less when it is now."""
    cursor = await connection.execute(SQL["lanes"]["due"])
    return dict(await cursor.fetchall())


async def fan_out(connection: Connection, subscription: str, chunk: int = CHUNK) -> Moved:
    """Fans out one chunk of changes to one subscription.

    1. Lock the subscription, or leave it to the worker that has it.
    2. Open the window between the stored snapshot and now, unless a chunk left one open.
    3. Place a delivery for each change that it follows.
    4. Remember where to go on: within the window, or at its end.
    5. Stop it there when too much waits. Writers do not notice; the log keeps what is to come.
    """
    async with connection.transaction():
        cursor = await connection.execute(RELAY["lock_subscription"], {"subscription": subscription})
        row = await cursor.fetchone()
        if row is None:
            return Moved(0, 0)
        start, end, seq, last, follows, skip_origin, cap, placed = row
        if end is None:
            cursor = await connection.execute(RELAY["open_window"], {"start": start})
            end, seq, last = await cursor.fetchone() or (None, None, None)
        if seq is None:
            return Moved(0, 0)
        window = {"subscription": subscription, "start": start, "end": end}
        choice = {"from_seq": seq, "to_seq": seq + chunk, "follows": follows, "skip_origin": skip_origin}
        await connection.execute(RELAY["choose_plans"])
        cursor = await connection.execute(RELAY["fan_out"], window | choice)
        moved = Moved(*(await cursor.fetchone() or (0, 0)))
        placed += moved.placed
        past_the_end = {"start": end, "end": None, "seq": None, "last": None}
        window |= {"seq": seq + chunk, "last": last} if seq + chunk <= last else past_the_end
        await connection.execute(RELAY["move_window"], window | {"placed": placed})
        if placed * COUNTS_TO_THE_CAP >= cap:
            await _count_waiting(connection, subscription)
    return moved


async def _count_waiting(connection: Connection, subscription: str) -> None:
    cursor = await connection.execute(RELAY["count_waiting"], {"subscription": subscription})
    state, reason = await cursor.fetchone() or (None, None)
    if state == "full":
        logger.warning("%s is full: %s until half of them are delivered", subscription, reason)
