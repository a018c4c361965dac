"""For tests of a project: `deliver_all()` delivers all due changes, without a worker process.

    class Pushes(TransactionTestCase):
        def test_push(self):
            Article.objects.create(title="a")
            deliver_all(strict=True)
            self.assertEqual(crm.articles, ["a"])

Only committed changes are delivered: the test must be a TransactionTestCase, or have
`@pytest.mark.django_db(transaction=True)`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from lockstep import delivery
from lockstep.conf import lockstep_settings, log_connection
from lockstep.delivery import operations
from lockstep.delivery.reports import ChangeFilter, DeadLetterRow, Status
from lockstep.delivery.subscriptions import registered, registered_families
from lockstep.delivery.worker import Worker
from lockstep.sql import statements

T = TypeVar("T")

LOOK_SECONDS = 0.02
UPKEEP = statements(delivery.__file__, "upkeep")


class Undelivered(AssertionError):
    """A change was not delivered."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The result of `deliver_all`: subscriptions with changes that wait for a retry, and dead letters."""

    waiting: list[Status]
    dead_letters: list[DeadLetterRow]


def deliver_all(*, timeout: float = 30.0, strict: bool = False) -> Delivered:
    """Delivers every committed change to its subscribers, until nothing is due.

    It may be called in a test that is a coroutine, whose event loop waits for it. Where handlers need that loop:
    `await asyncio.to_thread(deliver_all)`.

    Raises Undelivered after `timeout` seconds; with `strict` also for changes that wait for a retry and for dead
    letters.
    """
    if log_connection().in_atomic_block:
        raise Undelivered(
            "deliver_all() needs changes that are committed, and this test is one transaction: use "
            "TransactionTestCase, or @pytest.mark.django_db(transaction=True)."
        )
    # In a thread: the test may have an event loop, and the worker needs its own connections.
    with ThreadPoolExecutor(1, "deliver_all") as thread:
        thread.submit(lambda: asyncio.run(_deliver(timeout))).result()
        left = thread.submit(_on_own_connection, _left).result()
    if strict and (left.waiting or left.dead_letters):
        raise Undelivered(_described(left))
    return left


async def _deliver(seconds: float) -> None:
    worker = Worker(registered(), registered_families(), periodic=False)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(seconds):
            while await asyncio.to_thread(_on_own_connection, _is_due):
                if running.done():
                    break
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        left = await asyncio.to_thread(_on_own_connection, _left)
        raise Undelivered(f"There are still changes to deliver after {seconds:g} s. {_described(left)}") from None
    finally:
        worker.stopping.set()
        await running


def _on_own_connection(look: Callable[[], T]) -> T:
    """The result of `look`, which is called in a thread without an event loop, as Django's connections need it."""
    try:
        return look()
    finally:
        log_connection().close()  # the thread is not used again


def _is_due() -> bool:
    with log_connection().cursor() as cursor:
        cursor.execute(UPKEEP["anything_due"])
        return bool(cursor.fetchone() == (True,))


def _left() -> Delivered:
    rows = operations.status()
    letters = [letter for row in rows if row.dead for letter in operations.dead_letters(ChangeFilter(row.name))]
    return Delivered([row for row in rows if row.behind or row.waiting], letters)


def _described(left: Delivered) -> str:
    waiting = [f"{row.name}: {row.behind + row.waiting} to deliver: {row.reason}".rstrip(": ") for row in left.waiting]
    dead = [f"{letter.model} {letter.object_id}: {letter.cause}" for letter in left.dead_letters]
    return "; ".join([*waiting, *dead]) or f"Nothing is left in {lockstep_settings.DATABASE!r}."
