"""Waits for one of several events, with a timeout; tells a stop from a failure; and logs reasons, but not each time."""

import asyncio
import time

REPEAT_SECONDS = 60.0


class Reasons:
    """Reasons that were logged: each is new again after a minute."""

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}

    def is_new(self, reason: str) -> bool:
        """Whether it was not logged recently. It counts as logged now."""
        now = time.monotonic()
        self._logged = {logged: at for logged, at in self._logged.items() if now - at < REPEAT_SECONDS}
        return self._logged.setdefault(reason, now) == now


def is_stop(error: BaseException) -> bool:
    """Whether the current task is cancelled or closed from outside.

    A subscriber's code can raise CancelledError by itself, or SystemExit: that is a failure like any other, and must
    end neither the task nor the worker.
    """
    task = asyncio.current_task()
    is_cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
    return is_cancelled or isinstance(error, GeneratorExit)


async def first_of(*events: asyncio.Event, seconds: float) -> None:
    """Returns when one of the events is set, or after so many seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
