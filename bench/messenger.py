"""A worker that sends each post to some URLs, signed: `python -m bench.messenger URL…` prints "ready" and goes on."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network

import django

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DEADLINE, CONCURRENCY = 15.0, 8


async def main(urls: Sequence[str]) -> None:
    """Delivers until SIGTERM."""
    from lockstep.delivery.destinations.webhook import Destination, body_of, webhook_sender
    from lockstep.delivery.errors import Receipt
    from lockstep.delivery.subscriptions import Claim, Handler, Pool, Subscriber
    from lockstep.delivery.worker import Worker

    def subscriber(number: int, url: str) -> Subscriber:
        destination = Destination(url, (SECRET,))

        @asynccontextmanager
        async def connect(pool: Pool) -> AsyncIterator[Handler]:
            opened = [ip_network("127.0.0.0/8")]
            async with webhook_sender(concurrency=CONCURRENCY, deadline=DEADLINE, opened=opened) as sender:

                async def handler(claim: Claim) -> Receipt:
                    return await sender.send(destination, claim.message_id, body_of(claim), claim.clock)

                if number == 0:
                    print("ready", flush=True)
                yield handler

        return Subscriber(
            name=f"bench-{number}", kind="event", models=("posts.post",), connect=connect, concurrency=CONCURRENCY,
            deadline=DEADLINE + 5, recorded=True,
        )  # fmt: skip

    worker = Worker([subscriber(number, url) for number, url in enumerate(urls)])
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stopping.set)
    gc.freeze()  # as manage.py lockstep worker does
    await worker.run()


if __name__ == "__main__":
    django.setup()
    asyncio.run(main(sys.argv[1:]))
