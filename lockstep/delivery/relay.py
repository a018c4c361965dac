"""The relay: from the change log to the lanes, for many subscriptions at once (sql/relay.sql says how)."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.errors import UniqueViolation

from lockstep.delivery.database import SQL, Connection
from lockstep.delivery.retry import LONGEST_DELAY
from lockstep.delivery.subscriptions import Subscriber
from lockstep.delivery.values import bigints

logger = logging.getLogger(__name__)

CHUNK = 10_000  # rows of the log that are gone past at once, and deliveries that are placed at once
SMALL = 8  # numbers of the log that make no chunks, however many follow them: most windows are so small
COUNTS_TO_THE_CAP = 8  # how often what waits is counted while a subscription fills up

RELAY = SQL["relay"]
FAN_OUT_WHOLE, FAN_OUT_CHUNK = (
    RELAY["fan_out"].replace("{to_seq}", RELAY[end]).replace("{kept}", "") for end in ("whole", "cut")
)
# Of a window in which something waits already. It takes twice as long for a delivery, so it is not what is tried first.
FAN_OUT_BESIDE_KEPT = RELAY["fan_out"].replace("{to_seq}", RELAY["cut"]).replace("{kept}", "ON CONFLICT DO NOTHING")


class Window(NamedTuple):
    """What is between two snapshots, for the subscriptions that stand at a place.

    An open one goes on at `seq`. Its changes have numbers from `seq` to `last` and times from `first_at` to `last_at`;
    an empty one has neither number. `token` is the place's as long as this is true.
    """

    place: int
    token: int
    start: str
    end: str
    is_open: bool
    seq: int | None
    last: int | None
    first_at: str
    last_at: str

    @property
    def position(self) -> str | None:
        """The snapshot up to which everything is fanned out here; None within a window."""
        if self.is_open:
            return None
        return self.end if self.seq is None else self.start

    @property
    def span(self) -> int:
        """How many numbers it has at most."""
        return 0 if self.seq is None or self.last is None else self.last - self.seq + 1


class Step(NamedTuple):
    """What one step of the relay did: whether anything moved, and how many changes each subscription was given."""

    moved: bool
    given: dict[str, int]


async def declare(connection: Connection, subscriber: Subscriber) -> None:
    """Writes the subscription down as the code has it. A new one starts now; an old one keeps its place.

    A declaration that another version of the code replaced does not come back by a worker's start: while two versions
    are at work, each would undo the other. The row rules; `manage.py migrate` makes it what its own code says.
    """
    async with connection.transaction():
        cursor = await connection.execute(SQL["upkeep"]["is_replaced"], subscriber.row)
        (is_replaced,) = await cursor.fetchone() or (False,)
        if not is_replaced:
            cursor = await connection.execute(SQL["upkeep"]["declare_subscription"], subscriber.row)
    if is_replaced:
        logger.warning(
            "%s: another version of the code has declared it anew, and this worker goes by that. If this version is "
            "the right one, run manage.py migrate with it.",
            subscriber.name,
        )
    elif cursor.rowcount:
        logger.info("%s: declared as this version of the code has it", subscriber.name)


async def advance(connection: Connection, chunk: int = CHUNK) -> Step:
    """One round: a chunk of each window that there is, after those who stand at equal places have joined.

    It is for all subscriptions, whichever of them this worker delivers: what a row follows is placed for it.
    """
    found = await windows(connection)
    if await join(connection, found):
        found = await windows(connection)
    steps = [await fan_out(connection, window, chunk) for window in found if window.seq is not None]
    given: dict[str, int] = defaultdict(int)
    for step in steps:
        for name, changes in step.given.items():
            given[name] += changes
    return Step(any(step.moved for step in steps), dict(given))


async def windows(connection: Connection) -> list[Window]:
    """What there is to fan out at each place where an active subscription stands; empty ones are among them."""
    cursor = await connection.execute(RELAY["windows"])
    return [Window(*row) for row in await cursor.fetchall()]


async def join(connection: Connection, found: Sequence[Window]) -> bool:
    """Lets those who stand at equal places share one; returns whether anybody moved."""
    equal: dict[str, list[Window]] = defaultdict(list)
    for window in found:
        if window.position is not None:
            equal[window.position].append(window)
    moved = False
    for position, places in equal.items():
        if len(places) > 1:
            seen = {"places": bigints(each.place for each in places), "tokens": bigints(each.token for each in places)}
            cursor = await connection.execute(RELAY["join"], seen | {"start": position})
            moved = moved or cursor.rowcount > 0
    return moved


async def subscriptions_due(connection: Connection, known: Mapping[str, datetime], soon: float) -> dict[str, float]:
    """Seconds until something is due, of each subscription where that is so many or fewer; 0 or less when it is now.

    `known` is where to begin to look, by name.
    """
    choice = {"names": list(known), "from": list(known.values()), "soon": timedelta(seconds=soon)}
    cursor = await connection.execute(SQL["lanes"]["due"], choice)
    return dict(await cursor.fetchall())


async def bring_near(connection: Connection, leases: Mapping[str, float], step: float = 0.0) -> None:
    """Lets no lane wait longer than it may, by the leases of subscriptions and families: a clock stepped back.

    `step` is by how many seconds, where that was seen.
    """
    choice = {"names": list(leases), "leases": [timedelta(seconds=lease) for lease in leases.values()]}
    waits = {"longest": timedelta(seconds=LONGEST_DELAY), "step": timedelta(seconds=step)}
    await connection.execute(SQL["upkeep"]["bring_near"], choice | waits)


async def fan_out(connection: Connection, window: Window, chunk: int = CHUNK) -> Step:
    """Fans out the next chunk of a window. Nothing moves where another relay has, or is about to.

    Where an operation holds a subscription, the others leave it behind first. Where too much waits, it takes no more.
    Writers do not notice; the log keeps what is to come.
    """
    choice = {"chunk": chunk, "counts": COUNTS_TO_THE_CAP}
    statement = FAN_OUT_WHOLE if window.span <= min(chunk, SMALL) else FAN_OUT_CHUNK
    try:
        cursor = await connection.execute(statement, window._asdict() | choice)
    except UniqueViolation:  # a rewind has kept it, because it was not followed then (operations.sql, clear_from)
        cursor = await connection.execute(FAN_OUT_BESIDE_KEPT, window._asdict() | choice)
    rows = await cursor.fetchall()
    if any(is_held for is_held, *_ in rows):
        cursor = await connection.execute(RELAY["part"], window._asdict())
        return Step(cursor.rowcount > 0, {})
    given = {name: changes for _, name, changes, _ in rows if name is not None}
    for name in [name for _, name, _, may_be_full in rows if may_be_full]:
        await _count_waiting(connection, name)
    return Step(bool(rows), given)


async def _count_waiting(connection: Connection, subscription: str) -> None:
    """Fills a subscription at its cap, unless it has become another one while it was counted."""
    choice = {"subscription": subscription, "counts": COUNTS_TO_THE_CAP}
    row = await (await connection.execute(RELAY["count_waiting"], choice)).fetchone()
    if row is None:
        return
    placed, cap, waiting = row
    async with connection.transaction():
        cursor = await connection.execute(RELAY["note_count"], choice | {"placed": placed})
        if await cursor.fetchone() is None or waiting < cap:
            return
        reason = f"{waiting} changes wait; it takes no more"
        await connection.execute(SQL["operations"]["leave_place"], choice)
        await connection.execute(RELAY["fill"], choice | {"reason": reason})
    logger.warning("%s is full: %s until half of them are delivered", subscription, reason)
