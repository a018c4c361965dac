"""Tells whoever reads the change log that it has grown: soon after a commit, and never inside it.

NOTIFY in a writer's transaction takes one lock over the whole cluster when it commits, which more than halves the rate
of short writes. So a thread of its own sends it, on a connection of its own, and seldom: one tells of all commits
before it. Nothing depends on it: whoever reads the log looks by itself now and then, also for what was written past
Django.
"""

import logging
import threading
import time
from typing import Any

import psycopg

from lockstep.changes.connecting import WatchedConnection, connection_parameters

logger = logging.getLogger(__name__)

CHANNEL = "lockstep_changes"
SHORTEST_PAUSE = 0.02  # seconds between two notifications of one process
IDLE_SECONDS = 60.0  # then the connection is given back
OWN: dict[str, Any] = {"autocommit": True, "application_name": "lockstep-announcer"}
# A notification that a crash forgets is no loss, so it does not wait for the disk.
SESSION = {"synchronous_commit": "off"}


class Announcer:
    """One process's voice. `announce` costs nothing: the thread does the work, and is there only when it is needed."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False

    def announce(self) -> None:
        """Something was committed."""
        self._wanted.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closing:
                    self._thread = threading.Thread(target=self._run, name="changes-announcer", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Ends the thread and its connection, until the next `announce`."""
        thread = self._thread
        if thread:
            self._closing = True
            self._wanted.set()
            thread.join()
            self._closing = False

    def _run(self) -> None:
        try:
            with WatchedConnection.connect(**connection_parameters() | OWN) as own:
                own.begin(SESSION)
                while self._wanted.wait(IDLE_SECONDS) and not self._closing:
                    self._wanted.clear()
                    own.execute(f"NOTIFY {CHANNEL}")
                    time.sleep(SHORTEST_PAUSE)
        except psycopg.Error as error:
            reason = str(error).partition("\n")[0]
            logger.info("workers are not told of commits for now, and look by themselves: %s", reason)
            time.sleep(SHORTEST_PAUSE)
        finally:
            with self._lock:
                self._thread = None


announcer = Announcer()
