"""The relay: fans out the change log to the lanes of all subscriptions (sql/relay.sql says how)."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.errors import UniqueViolation

from lockstep.delivery.database import Connection
from lockstep.delivery.retry import MAX_DELAY
from lockstep.delivery.subscriptions import Subscriber
from lockstep.delivery.values import bigints
from lockstep.sql import Statement, statements

__all__ = ["declare"]

LANES = statements(__file__, "lanes")
OPERATIONS = statements(__file__, "operations")
RELAY = statements(__file__, "relay")
UPKEEP = statements(__file__, "upkeep")

logger = logging.getLogger(__name__)

CHUNK = 10_000  # the most rows of the log, and about the most deliveries, of one chunk
FEW = 8  # windows of so few numbers are not divided, however many subscriptions follow them: most are so small
COUNTS_TO_THE_CAP = 8  # how often waiting changes are counted while a subscription fills up to its cap

FEW_PARTS = {
    "logged": RELAY["few_logged"],
    "types": Statement("logged"),
    "wanted": RELAY["few_wanted"],
    "moved": RELAY["few_moved"],
}
CHUNK_PARTS = {
    "logged": RELAY["chunk_logged"],
    "types": Statement("event_type"),
    "wanted": RELAY["chunk_wanted"],
    "moved": RELAY["chunk_moved"],
}
FAN_OUT_FEW = RELAY["fan_out"].with_parts(**FEW_PARTS, kept=Statement(""))
FAN_OUT_CHUNK = RELAY["fan_out"].with_parts(**CHUNK_PARTS, kept=Statement(""))
# For a window with changes that wait in lanes already. It takes twice as long, so it is the second choice.
FAN_OUT_BESIDE_KEPT = RELAY["fan_out"].with_parts(**CHUNK_PARTS, kept=Statement("ON CONFLICT DO NOTHING"))


class Window(NamedTuple):
    """The changes between two snapshots, for the subscriptions at a place.

    An open one continues at `seq`. Its changes have numbers from `seq` to `last` and times from `first_at` to
    `last_at`; an empty one has neither number. It is valid while the place has this `token`.
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
        """The most numbers it can have."""
        return 0 if self.seq is None or self.last is None else self.last - self.seq + 1


class Step(NamedTuple):
    """The result of one step of the relay: whether any place moved, and how many changes each subscription got."""

    moved: bool
    fanned_out: dict[str, int]


async def declare(connection: Connection, subscriber: Subscriber) -> None:
    """Inserts or updates the subscription as the code declares it. A new one starts now; an old one keeps its place.

    A worker's start does not restore a declaration that another version of the code replaced: while two versions run,
    each would undo the other. The row decides; `manage.py migrate` writes its own code's declaration.
    """
    async with connection.transaction():
        cursor = await connection.execute(UPKEEP["is_replaced"], subscriber.row)
        (is_replaced,) = await cursor.fetchone() or (False,)
        if not is_replaced:
            cursor = await connection.execute(UPKEEP["declare_subscription"], subscriber.row)
    if is_replaced:
        logger.warning(
            "%s: another version of the code has declared it anew, and this worker goes by that. If this version is "
            "the right one, run manage.py migrate with it.",
            subscriber.name,
        )
    elif cursor.rowcount:
        logger.info("%s: declared as this version of the code has it", subscriber.name)


async def advance(connection: Connection, chunk: int = CHUNK) -> Step:
    """Fans out a chunk of each window, after subscriptions at equal places have been joined.

    It is for all subscriptions, whichever of them this worker delivers.
    """
    found = await windows(connection)
    if await join(connection, found):
        found = await windows(connection)
    steps = [await fan_out(connection, window, chunk) for window in found if window.seq is not None]
    fanned_out: dict[str, int] = defaultdict(int)
    for step in steps:
        for name, changes in step.fanned_out.items():
            fanned_out[name] += changes
    return Step(any(step.moved for step in steps), dict(fanned_out))


async def windows(connection: Connection) -> list[Window]:
    """The windows of all places with an active subscription, empty ones among them."""
    cursor = await connection.execute(RELAY["windows"])
    return [Window(*row) for row in await cursor.fetchall()]


async def join(connection: Connection, found: Sequence[Window]) -> bool:
    """Joins subscriptions at equal places in one place; returns whether any subscription moved."""
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
    """Seconds until each subscription has a due lane, where that is at most `soon`; 0 or less when it has one now.

    `known` is where the scan begins, by name.
    """
    choice = {"names": list(known), "from": list(known.values()), "soon": timedelta(seconds=soon)}
    cursor = await connection.execute(LANES["due"], choice)
    return dict(await cursor.fetchall())


async def bring_near(connection: Connection, leases: Mapping[str, float], step: float = 0.0) -> None:
    """Shortens waits of lanes that are too long after the clock stepped back, by the leases of their subscriptions.

    `step` is by how many seconds it did, if known.
    """
    choice = {"names": list(leases), "leases": [timedelta(seconds=lease) for lease in leases.values()]}
    waits = {"longest": timedelta(seconds=MAX_DELAY), "step": timedelta(seconds=step)}
    await connection.execute(UPKEEP["bring_near"], choice | waits)


async def fan_out(connection: Connection, window: Window, chunk: int = CHUNK) -> Step:
    """Fans out the next chunk of a window. Does nothing where another relay has the place.

    Where an operation locks a subscription, the others first move to a new place. Subscriptions at their cap are
    stopped; the log keeps their changes.
    """
    choice = {"chunk": chunk, "counts": COUNTS_TO_THE_CAP}
    statement = FAN_OUT_FEW if window.span <= min(chunk, FEW) else FAN_OUT_CHUNK
    try:
        cursor = await connection.execute(statement, window._asdict() | choice)
    except UniqueViolation:  # a rewind kept a delivery that was not followed then (operations.sql, clear_from)
        cursor = await connection.execute(FAN_OUT_BESIDE_KEPT, window._asdict() | choice)
    rows = await cursor.fetchall()
    if any(is_held for is_held, *_ in rows):
        cursor = await connection.execute(RELAY["part"], window._asdict())
        return Step(cursor.rowcount > 0, {})
    fanned_out = {name: changes for _, name, changes, _ in rows if name is not None}
    for name in [name for _, name, _, may_be_full in rows if may_be_full]:
        await _count_waiting(connection, name)
    return Step(bool(rows), fanned_out)


async def _count_waiting(connection: Connection, subscription: str) -> None:
    """Stops fan-out to a subscription at its cap, unless its row changed while it was counted."""
    choice = {"subscription": subscription, "counts": COUNTS_TO_THE_CAP}
    row = await (await connection.execute(RELAY["count_waiting"], choice)).fetchone()
    if row is None:
        return
    placed, cap, waiting = row
    async with connection.transaction():
        cursor = await connection.execute(RELAY["note_count"], choice | {"placed": placed})
        if await cursor.fetchone() is None or waiting < cap:
            return
        reason = f"{waiting:,} {'change waits' if waiting == 1 else 'changes wait'}; fan-out has stopped"
        await connection.execute(OPERATIONS["leave_place"], choice)
        await connection.execute(RELAY["fill"], choice | {"reason": reason})
    logger.warning("%s is full: %s until half of them are delivered", subscription, reason)
