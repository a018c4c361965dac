"""Workers that charge for orders and kill themselves at a step.

Run as `python -m tests.faults.crashing_payment_processor`.

Each line of stdin begins a life, in a process of its own, and says at which step it ends, by number or by name: at a
statement, at a request to the gateway, between them. 0 is none. Steps are counted while the change that is to be paid
for is handled. Each line of stdout says how a life ended: "after charge -9", or "0" when all was done.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import django

django.setup()

import psycopg  # noqa: E402 - Django comes first

from backend.providers.payments import PaymentGateway  # noqa: E402
from backend.shop.orders.actions import SQL as ORDERS  # noqa: E402
from backend.shop.payments import processor  # noqa: E402
from backend.shop.states import machines  # noqa: E402
from lockstep.changes.connecting import connection_parameters  # noqa: E402
from lockstep.delivery.lanes import LANES  # noqa: E402
from lockstep.delivery.subscriptions import Claim, Handler, Pool, Subscriber  # noqa: E402
from lockstep.delivery.worker import Worker  # noqa: E402
from lockstep.http.client import Operation  # noqa: E402
from lockstep.tests.kit.statements import watch_statements  # noqa: E402
from tests.support import WAIT_TIMEOUT  # noqa: E402

SETTLEMENT = (
    "lock_claimed", "dead_letter", "remove_delivered", "release_pending", "delete_empty", "postpone", "record_attempts",
)  # fmt: skip
# Nothing left to do: whatever is to be paid for is decided or a dead letter, and nothing waits.
ALL_DONE = """
    SELECT NOT EXISTS (SELECT FROM lockstep_lane) AND NOT EXISTS (
        SELECT FROM shop_payment p WHERE p.decided IS NULL
        AND NOT EXISTS (SELECT FROM lockstep_deadletter d WHERE d.object_id = p.order_id::text))"""


class CrashPoint:
    """Counts steps, where they count, and ends the process at one of them: the nth, or the first of that name."""

    def __init__(self, step: str) -> None:
        self.left = int(step) if step.isdecimal() else 0
        self.name = "" if step.isdecimal() else step
        self.counts = False

    def handles(self, claim: Claim) -> None:
        """Steps count from the change that confirms the order up to the next one of it."""
        state = (claim.change.after or {})["state"]
        if self.counts or state == machines.CONFIRMED:
            self.counts = True
            self.reached(f"handler of {state}")
        self.counts = state == machines.CONFIRMED

    def reached(self, step: str) -> None:
        if not self.counts:
            return
        self.left -= 1
        if self.left == 0 or step == self.name:
            os.write(sys.stdout.fileno(), f"{step} ".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def passing(crash: CrashPoint, call: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
    """The call, with a step before it and one after it."""

    async def passed(*arguments: Any) -> Any:
        crash.reached(f"before {name}")
        answer = await call(*arguments)
        crash.reached(f"after {name}")
        return answer

    return passed


def statements() -> Mapping[str, str]:
    """Text → name, of what the processor writes and of what settles its delivery."""
    settlement = {name: LANES[name] for name in SETTLEMENT}
    return {
        text: name for name, text in {**processor.SQL, **settlement, "release_stock": ORDERS["release_stock"]}.items()
    }


def watch_the_gateway(crash: CrashPoint) -> None:
    """Steps before and after a request, and between: the gateway has all of it, and its answer is not read yet."""
    trace = Operation.trace

    async def traced(self: Operation, event: str, info: Mapping[str, Any]) -> None:
        await trace(self, event, info)
        if event.endswith("send_request_body.complete"):
            crash.reached("sent charge" if self.write else "sent look-up")

    Operation.trace = traced  # type: ignore[method-assign]
    PaymentGateway.charge = passing(crash, PaymentGateway.charge, "charge")  # type: ignore[method-assign]
    PaymentGateway.look_up = passing(crash, PaymentGateway.look_up, "look-up")  # type: ignore[method-assign]


def watch_the_decision(crash: CrashPoint) -> None:
    """A step after its transaction."""
    processor.PaymentProcessor._decide = passing(crash, processor.PaymentProcessor._decide, "decision")  # type: ignore[method-assign]


def crashing(crash: CrashPoint) -> Subscriber:
    """The payment processor, watched."""
    payments = processor.PAYMENTS.connect
    assert payments

    @asynccontextmanager
    async def connect(pool: Pool) -> AsyncIterator[Handler]:
        async with payments(pool) as deliver:

            async def handler(claim: Claim) -> Any:
                crash.handles(claim)
                return await deliver(claim)

            yield handler

    return replace(processor.PAYMENTS, connect=connect, schedule=(0.0, *[0.05] * 20))


async def live(step: str) -> None:
    """Until everything is done, or this step."""
    crash = CrashPoint(step)
    watch_statements(crash.reached, statements())
    watch_the_gateway(crash)
    watch_the_decision(crash)
    worker = Worker([crashing(crash)])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run())
        tasks.create_task(stop_when_all_is_done(worker))


async def stop_when_all_is_done(worker: Worker) -> None:
    """Raises TimeoutError when that takes too long: then something waits for ever."""
    async with (
        asyncio.timeout(WAIT_TIMEOUT),
        await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True) as connection,
    ):
        while await (await connection.execute(ALL_DONE)).fetchone() != (True,):
            await asyncio.sleep(0.02)
    worker.stopping.set()


def main() -> None:
    # Until an answer of the gateway counts as lost.
    processor.CHARGE_SECONDS = float(os.environ["CHARGE_SECONDS"])
    for line in sys.stdin:
        child = os.fork()  # to start Python and Django for each takes many times as long
        if not child:
            asyncio.run(live(line.rstrip()))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.write(sys.stdout.fileno(), f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
