"""A worker whose only subscriber says when each post reached it: `python -m bench.listener`."""

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import django


async def main() -> None:
    """Prints "ready", then the title and the time of each post, until SIGTERM."""
    from lockstep.delivery.subscriptions import Claim, Handler, Pool, Subscriber
    from lockstep.delivery.worker import Worker

    async def note(claim: Claim) -> None:
        print((claim.change.after or {})["title"], time.time(), flush=True)

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        print("ready", flush=True)
        yield note

    worker = Worker([Subscriber(name="bench", kind="event", models=("posts.post",), connect=connect)])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stopping.set)
    gc.freeze()  # as manage.py lockstep worker does
    await worker.run()


if __name__ == "__main__":
    django.setup()
    asyncio.run(main())
