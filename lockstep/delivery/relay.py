"""The relay: from the change log to the lanes, for many subscriptions at once (sql/relay.sql says how)."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from lockstep.delivery.database import SQL, Connection
from lockstep.delivery.retry import LONGEST_DELAY
from lockstep.delivery.subscriptions import Subscriber

logger = logging.getLogger(__name__)

CHUNK = 10_000  # numbers of the log gone past at once, times the subscriptions that are given them
SMALLEST_CHUNK = 50  # however many they are: most do not follow most changes
COUNTS_TO_THE_CAP = 8  # how often what waits is counted while a subscription fills up

RELAY = SQL["relay"]


class Window(NamedTuple):
    """What is between two snapshots, and the subscriptions that stand at its beginning.

    An open one goes on at `seq`. Its changes have numbers from `seq` to `last` and times from `first_at` to `last_at`.
    """

    start: str
    end: str
    is_open: bool
    seq: int
    last: int
    first_at: str
    last_at: str
    names: Sequence[str]


async def declare(connection: Connection, subscriber: Subscriber) -> None:
    """Writes the subscription down as the code has it. A new one starts now; an old one keeps its place."""
    await connection.execute(SQL["upkeep"]["declare_subscription"], subscriber.row)


async def windows(connection: Connection, names: Sequence[str], families: Sequence[str] = ()) -> list[Window]:
    """What there is to fan out to the active ones among these subscriptions and the members of these families."""
    cursor = await connection.execute(RELAY["windows"], {"names": list(names), "families": list(families)})
    return [Window(*row) for row in await cursor.fetchall()]


async def subscriptions_due(connection: Connection, known: Mapping[str, datetime], soon: float) -> dict[str, float]:
    """Seconds until something is due, of each subscription where that is so many or fewer; 0 or less when it is now.

    `known` is where to begin to look, by name.
    """
    choice = {"names": list(known), "from": list(known.values()), "soon": timedelta(seconds=soon)}
    cursor = await connection.execute(SQL["lanes"]["due"], choice)
    return dict(await cursor.fetchall())


async def bring_near(connection: Connection, leases: Mapping[str, float]) -> None:
    """Lets no lane wait longer than it may, by the leases of subscriptions and families: a clock stepped back."""
    choice = {"names": list(leases), "leases": [timedelta(seconds=lease) for lease in leases.values()]}
    await connection.execute(SQL["upkeep"]["bring_near"], choice | {"longest": timedelta(seconds=LONGEST_DELAY)})


async def fan_out(connection: Connection, window: Window, chunk: int = CHUNK) -> dict[str, int]:
    """Fans out the next chunk of a window; returns how many changes each subscription was given.

    Those that another worker has, or has brought further meanwhile, are left to it and are not in the answer. Where too
    much waits, the subscription takes no more. Writers do not notice; the log keeps what is to come.
    """
    to_seq = window.seq + max(chunk // len(window.names), min(chunk, SMALLEST_CHUNK))
    choice = {"to_seq": to_seq, "is_last": to_seq > window.last, "counts": COUNTS_TO_THE_CAP}
    cursor = await connection.execute(RELAY["fan_out"], window._asdict() | choice)
    given = await cursor.fetchall()
    for name, _, may_be_full in given:
        if may_be_full:
            await _count_waiting(connection, name)
    return {name: changes for name, changes, _ in given}


async def _count_waiting(connection: Connection, subscription: str) -> None:
    cursor = await connection.execute(RELAY["count_waiting"], {"subscription": subscription})
    state, reason = await cursor.fetchone() or (None, None)
    if state == "full":
        logger.warning("%s is full: %s until half of them are delivered", subscription, reason)
