"""Waits for one of several signals, with a timeout; tells a stop from a failure; logs reasons, but not each time."""

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


class Signal(asyncio.Event):
    """An event for which `first_of` waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: set[asyncio.Future[None]] = set()

    def set(self) -> None:
        """Sets it, and ends the waits for it. None begins while it is set."""
        if self.is_set():
            return
        super().set()
        for wait in self.waits:
            _end(wait)


async def first_of(*signals: Signal, seconds: float) -> None:
    """Returns when one of the signals is set, or after so many seconds.

    The signals share one future, because two such waits are between a commit and its handler: with a task for each
    event, a wait takes two more rounds of the event loop and twice as many calls.
    """
    if any(signal.is_set() for signal in signals):
        await asyncio.sleep(0)  # other tasks run before this one continues
        return
    loop = asyncio.get_running_loop()
    wait = loop.create_future()
    timer = loop.call_later(seconds, _end, wait)
    for signal in signals:
        signal.waits.add(wait)
    try:
        await wait
    finally:
        timer.cancel()
        for signal in signals:
            signal.waits.discard(wait)


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
