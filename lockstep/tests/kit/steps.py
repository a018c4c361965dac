"""What tests of delivery are written with: a subscriber, and the worker's statements, one by one."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Literal, TypeVar
from uuid import UUID

import psycopg

from lockstep.delivery import lanes, relay
from lockstep.delivery.epochs import EPOCHS as EPOCH_STATEMENTS
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.errors import DeliveryError
from lockstep.delivery.lanes import Outcome, ScanFloor
from lockstep.delivery.relay import Step, Window
from lockstep.delivery.subscriptions import Claim, Handler, Pool, Subscriber

T = TypeVar("T")

EPOCHS = Epochs(UUID(int=7))


async def nothing(claim: Claim) -> None:
    """Delivers nowhere."""


def subscriber_to(
    model: str,
    name: str = "test",
    kind: Literal["event", "state"] = "event",
    handler: Callable[[Claim], Coroutine[Any, Any, None]] = nothing,
    **options: Any,
) -> Subscriber:
    """A subscriber to this model that hands its claims to `handler`."""

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        yield handler

    return Subscriber(name=name, kind=kind, models=(model,), connect=connect, **options)


class Steps:
    """The statements of relay and courier, called one at a time on a connection of their own for each thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._of_thread = threading.local()
        self._at_the_end = ExitStack()

    def close(self) -> None:
        self._at_the_end.close()

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        runner, connection = self._opened()
        return runner.run(work(connection))

    def _opened(self) -> tuple[asyncio.Runner, psycopg.AsyncConnection[Any]]:
        here = self._of_thread
        if not hasattr(here, "opened"):
            runner = asyncio.Runner()
            connection = runner.run(psycopg.AsyncConnection.connect(self.url, autocommit=True))
            self._at_the_end.callback(lambda: (runner.run(connection.close()), runner.close()))
            here.opened = runner, connection
        return here.opened

    def declare(self, subscriber: Subscriber) -> None:
        self.run(lambda c: relay.declare(c, subscriber))

    def behind(self) -> list[str]:
        """Which active subscriptions have something to fan out, followed or not."""
        places = [window.place for window in self.windows() if window.seq is not None]
        return self.run(lambda c: _standing_at(c, places))

    def windows(self) -> list[Window]:
        return self.run(relay.windows)

    def fan_out(self, *names: str, chunk: int = relay.CHUNK) -> int:
        """The next chunk of each window; how many changes these subscriptions, or all, got."""
        fanned_out = self.run(lambda c: relay.advance(c, chunk)).fanned_out
        return sum(changes for name, changes in fanned_out.items() if not names or name in names)

    def give(self, window: Window, chunk: int = relay.CHUNK) -> Step:
        return self.run(lambda c: relay.fan_out(c, window, chunk))

    def claim(self, subscriber: Subscriber, limit: int = 100, scan_floor: ScanFloor | None = None) -> list[Claim]:
        return self.run(lambda c: lanes.claim(c, subscriber, limit, EPOCHS, scan_floor))

    def settle(self, *claims: Claim, error: DeliveryError | None = None) -> int:
        """How many of the claims still held their lanes."""
        return len(self.run(lambda c: lanes.settle(c, [Outcome(claim, error) for claim in claims])))

    def deliver_all(self, subscriber: Subscriber) -> list[Claim]:
        """Everything that can be delivered to it now, in the order of the lanes."""
        found: list[Claim] = []
        while self.behind() and self.fan_out():
            pass
        while claims := self.claim(subscriber):
            found += claims
            self.settle(*claims)
        return found

    def hold(self, subscriber: Subscriber, object_id: str) -> tuple[int, int] | None:
        return self.run(lambda c: lanes.hold(c, subscriber, subscriber.models[0], object_id))

    def release(self, held: tuple[int, int]) -> None:
        self.run(lambda c: lanes.release(c, held))


async def _standing_at(connection: psycopg.AsyncConnection[Any], places: list[int]) -> list[str]:
    standing = "SELECT name FROM lockstep_subscription WHERE state = 'active' AND place_id = ANY (%s) ORDER BY name"
    cursor = await connection.execute(standing, [places])
    return [name for (name,) in await cursor.fetchall()]


def waiting(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """(object, title) of every delivery that waits, in the order of the lanes."""
    rows = connection.execute("""
        SELECT lane.object_id, coalesce(c.after, c.before) ->> 'title'
        FROM lockstep_delivery d JOIN lockstep_lane lane ON lane.id = d.lane_id JOIN lockstep_change c USING (seq)
        ORDER BY lane.object_id, d.seq
    """).fetchall()
    return [(object_id, title) for object_id, title in rows]


def begin_epoch(connection: psycopg.Connection) -> None:
    """What the first worker makes of a database, unless one has."""
    connection.execute(EPOCH_STATEMENTS["begin_first"])
