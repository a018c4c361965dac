"""Waits for one of several events, with a timeout; and logs reasons, but not at every attempt."""

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


async def first_of(*events: asyncio.Event, seconds: float) -> None:
    """Returns when one of the events is set, or after so many seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
