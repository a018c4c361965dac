"""A worker's heartbeat: a row that it renews, with the names of its stalled parts.

An open connection proves little: a worker that waits for an answer that never comes is connected, too.
"""

import logging
import time
from collections.abc import Callable
from uuid import uuid4

from lockstep.conf import log_connection
from lockstep.delivery.clock import offset
from lockstep.delivery.database import Connection
from lockstep.sql import statements

HEARTBEAT = statements(__file__, "heartbeat")

BEAT_SECONDS = 2.0
STALLED_SECONDS = 10.0  # without a loop of a part, or without a beat
MISSED_SECONDS = 60.0  # a worker without a beat counts as silent for so long, then as gone

logger = logging.getLogger(__name__)


class Heartbeat:
    """When each part of one worker last completed a loop."""

    def __init__(self, *parts: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._id = uuid4()
        self._clock = clock
        self._rounds = dict.fromkeys(parts, clock())
        self._logged = ""
        self.clock_offset: float | None = None  # seconds that our clock is ahead of the database's, at the last beat

    def start(self) -> None:
        """Resets all parts."""
        self._rounds = dict.fromkeys(self._rounds, self._clock())

    def note(self, part: str) -> None:
        """Records a loop of this part."""
        self._rounds[part] = self._clock()

    @property
    def complaint(self) -> str:
        """The stalled parts, and for how long; "" for none."""
        now = self._clock()
        stalled = {part: now - last for part, last in self._rounds.items() if now - last > STALLED_SECONDS}
        return ", ".join(f"{part} has not moved for {seconds:.0f} s" for part, seconds in stalled.items())

    def log(self) -> None:
        """Logs once when parts stall, and once when all move again."""
        stalled = " and ".join(part for part, last in self._rounds.items() if self._clock() - last > STALLED_SECONDS)
        if stalled == self._logged:
            return
        self._logged = stalled
        if stalled:
            logger.error("the worker hangs: %s", self.complaint)
        else:
            logger.info("all parts of the worker move again")

    async def beat(self, connection: Connection) -> None:
        """Renews the row, and reads the clock offset."""
        before = time.time()
        cursor = await connection.execute(HEARTBEAT["beat"], {"id": self._id, "complaint": self.complaint})
        [row] = await cursor.fetchall()
        self.clock_offset = offset(row[0], before, time.time())

    async def leave(self, connection: Connection) -> None:
        """Removes the row."""
        await connection.execute(HEARTBEAT["leave"], {"id": self._id})


def worker_state() -> str:
    """ "ok", or why no worker delivers: for /readyz. Raises DatabaseError."""
    with log_connection().cursor() as cursor:
        cursor.execute(HEARTBEAT["workers"], {"fresh": STALLED_SECONDS, "missed": MISSED_SECONDS})
        moving, complaint, silent = cursor.fetchone()
    if moving:
        return "ok"
    if complaint:
        return f"hangs: {complaint}"
    if silent is not None:
        return f"silent for {silent:.0f} s: see its log"
    return "none is running: manage.py lockstep worker"


def worker_counts() -> dict[str, int]:
    """The number of workers in each state. Raises DatabaseError."""
    with log_connection().cursor() as cursor:
        cursor.execute(HEARTBEAT["counts"], {"fresh": STALLED_SECONDS, "missed": MISSED_SECONDS})
        return dict(zip(("moving", "hanging", "silent"), cursor.fetchone(), strict=True))
