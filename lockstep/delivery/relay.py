"""The relay: from the change log to the lanes, one subscription at a time (sql/relay.sql says how)."""

from lockstep.delivery.database import SQL, Connection
from lockstep.delivery.subscriptions import Subscriber

CHUNK = 10_000  # numbers of the log gone past in one transaction

RELAY = SQL["relay"]


async def declare(connection: Connection, subscriber: Subscriber) -> None:
    """Writes the subscription down as the code has it. A new one starts now; an old one keeps its place."""
    await connection.execute(SQL["upkeep"]["declare_subscription"], subscriber.row)


async def subscriptions_behind(connection: Connection) -> list[str]:
    """Names of the active subscriptions that have changes to fan out."""
    cursor = await connection.execute(RELAY["behind"])
    return [name for (name,) in await cursor.fetchall()]


async def fan_out(connection: Connection, subscription: str, chunk: int = CHUNK) -> int:
    """Fans out one chunk of changes to one subscription; returns how many changes it went past.

    1. Lock the subscription, or leave it to the worker that has it.
    2. Open the window between the stored snapshot and now, unless a chunk left one open.
    3. Place a delivery for each change that it follows.
    4. Remember where to go on: within the window, or at its end.
    """
    async with connection.transaction():
        cursor = await connection.execute(RELAY["lock_subscription"], {"subscription": subscription})
        row = await cursor.fetchone()
        if row is None:
            return 0
        start, end, seq, last, follows, skip_origin = row
        if end is None:
            cursor = await connection.execute(RELAY["open_window"], {"start": start})
            end, seq, last = await cursor.fetchone() or (None, None, None)
        if seq is None:
            return 0
        window = {"subscription": subscription, "start": start, "end": end}
        choice = {"from_seq": seq, "to_seq": seq + chunk, "follows": follows, "skip_origin": skip_origin}
        await connection.execute(RELAY["choose_plans"])
        cursor = await connection.execute(RELAY["fan_out"], window | choice)
        (count,) = await cursor.fetchone() or (0,)
        past_the_end = {"start": end, "end": None, "seq": None, "last": None}
        window |= {"seq": seq + chunk, "last": last} if seq + chunk <= last else past_the_end
        await connection.execute(RELAY["move_window"], window)
    return int(count)
