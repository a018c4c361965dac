"""A worker that kills itself at a named point: `python -m faults.crashing_worker LOG POINT TIMES [CLOCK_OFFSET]`.

POINT is "before NAME" or "after NAME" of any statement in lockstep/delivery/sql, "sent" (the receiver has it, we have
not heard so), or "never"; it dies the so many-th time it gets there. Its receiver writes every attempt down, with
fsync, before it answers. A clock offset (seconds) is what this machine's clock is wrong by.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import django

django.setup()

from kit.statements import NAMES, watch_statements  # noqa: E402 - Django comes first

from lockstep.delivery.errors import RetryLater  # noqa: E402
from lockstep.delivery.retry import SCHEDULE  # noqa: E402
from lockstep.delivery.subscriptions import Claim, Handler, Pool, Subscriber  # noqa: E402
from lockstep.delivery.worker import Worker  # noqa: E402

NAME = "trial"
DEADLINE, LEASE = 0.5, 1.5  # seconds
FAILS_EVERY = 17  # first attempts
RETRY = 1.5  # seconds before the second attempt; the shortest that the schedule allows is a fifth less


class Doom:
    """Counts how often the point is reached."""

    def __init__(self, point: str, times: int) -> None:
        self.point = point
        self.left = times

    def reached(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class ShortLease(Subscriber):
    """The lease stays longer than the deadline; only the margin is smaller, so that a test need not wait for it."""

    @property
    def lease(self) -> float:
        return LEASE


def subscriber(log: str, doom: Doom) -> Subscriber:
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    tried = 0

    async def handler(claim: Claim) -> None:
        nonlocal tried
        change = claim.change
        title = (change.after or change.before or {})["title"]
        os.write(file, f"{claim.message_id} {change.object_id} {change.seq} {title} {time.monotonic()}\n".encode())
        os.fsync(file)
        doom.reached("sent")
        tried += claim.attempts == 1
        if claim.attempts == 1 and tried % FAILS_EVERY == 0:
            raise RetryLater("once in a while")

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        yield handler

    return ShortLease(
        name=NAME,
        kind="event",
        models=("blog.article",),
        connect=connect,
        deadline=DEADLINE,
        schedule=(0.0, RETRY, *SCHEDULE[2:]),
    )


def main(log: str, point: str, times: str, offset: str = "0") -> None:
    right_time = time.time
    time.time = lambda: right_time() + float(offset)
    doom = Doom(point, int(times))
    watch_statements(doom.reached, {text: name for text, (_, name) in NAMES.items()})

    async def run() -> None:
        worker = Worker([subscriber(log, doom)])
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stopping.set)
        await worker.run()

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
