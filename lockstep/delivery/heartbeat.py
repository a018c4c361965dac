"""A worker's sign of life: a row that it renews, with the parts of it that do not move.

That a worker is connected says little: one that waits for an answer that never comes is connected, too.
"""

import logging
import time
from collections.abc import Callable
from uuid import uuid4

from django.db import connection

from lockstep.delivery.database import SQL, Connection

HEARTBEAT = SQL["heartbeat"]
BEAT_SECONDS = 2.0
STALLED_SECONDS = 10.0  # without a round of a part, or without a beat
MISSED_SECONDS = 60.0  # for so long a worker that is silent is one that hangs; then it is one that is not there

logger = logging.getLogger(__name__)


class Heartbeat:
    """When each part of one worker last went round."""

    def __init__(self, *parts: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._id = uuid4()
        self._clock = clock
        self._rounds = dict.fromkeys(parts, clock())
        self._said = ""

    def start(self) -> None:
        """All parts begin now."""
        self._rounds = dict.fromkeys(self._rounds, self._clock())

    def note(self, part: str) -> None:
        """This part goes round."""
        self._rounds[part] = self._clock()

    @property
    def complaint(self) -> str:
        """The parts that do not move, and since when; "" while all do."""
        now = self._clock()
        stalled = {part: now - last for part, last in self._rounds.items() if now - last > STALLED_SECONDS}
        return ", ".join(f"{part} has not moved for {seconds:.0f} s" for part, seconds in stalled.items())

    def log(self) -> None:
        """Says once that parts do not move, and once that they do again."""
        stalled = " and ".join(part for part, last in self._rounds.items() if self._clock() - last > STALLED_SECONDS)
        if stalled == self._said:
            return
        self._said = stalled
        if stalled:
            logger.error("the worker hangs: %s", self.complaint)
        else:
            logger.info("all parts of the worker move again")

    async def beat(self, connection: Connection) -> None:
        """Renews the row."""
        await connection.execute(HEARTBEAT["beat"], {"id": self._id, "complaint": self.complaint})

    async def leave(self, connection: Connection) -> None:
        """Removes the row."""
        await connection.execute(HEARTBEAT["leave"], {"id": self._id})


def worker_state() -> str:
    """ "ok", or why nothing is delivered: for /readyz. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(HEARTBEAT["workers"], {"fresh": STALLED_SECONDS, "missed": MISSED_SECONDS})
        moving, complaint, silent = cursor.fetchone()
    if moving:
        return "ok"
    if complaint:
        return f"hangs: {complaint}"
    if silent is not None:
        return f"silent for {silent:.0f} s: see its log"
    return "none is running: manage.py worker"
