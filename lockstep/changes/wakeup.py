"""Notifies readers of the change log of commits: soon after them, and never inside a transaction.

NOTIFY in a writer's transaction takes a cluster-wide lock at its commit, which more than halves the rate of short
writes. So a thread sends it on a connection of its own, once for many commits. Readers of the log do not depend on it:
they poll as well, also for changes written outside Django.
"""

import logging
import os
import threading
import time

import psycopg

from lockstep.changes.connecting import ConnectionParameters, WatchedConnection, connection_parameters
from lockstep.sql import Statement, statements

logger = logging.getLogger(__name__)

CHANNEL = "lockstep_changes"
MIN_PAUSE_SECONDS = 0.02  # seconds between two notifications of one process
IDLE_SECONDS = 60.0  # then the connection is given back
OWN: ConnectionParameters = {"autocommit": True, "application_name": "lockstep-notifier"}
SQL = statements(__file__, "sessions")
LISTEN = SQL["listen"].with_parts(channel=Statement(CHANNEL))
NOTIFY = SQL["notify"]


class CommitNotifier:
    """The notifier of one process. `notify` only wakes a thread, which is started on demand."""

    in_tests = False  # its connection would keep a test runner from dropping the database

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Starts anew: a forked process lacks the parent's thread, and may have a locked lock."""
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False

    def notify(self) -> None:
        """Schedules a notification of a commit."""
        self._wanted.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closing:
                    self._thread = threading.Thread(target=self._run, name="commit-notifier", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Ends the thread and its connection, until the next `notify`."""
        thread = self._thread
        if thread:
            self._closing = True
            self._wanted.set()
            thread.join()
            self._closing = False

    def _run(self) -> None:
        try:
            with WatchedConnection.connect(**connection_parameters() | OWN) as own:
                own.begin({})
                while self._wanted.wait(IDLE_SECONDS) and not self._closing:
                    self._wanted.clear()
                    own.execute(NOTIFY, [CHANNEL])
                    time.sleep(MIN_PAUSE_SECONDS)
        except psycopg.Error as error:
            reason = str(error).partition("\n")[0]
            logger.info("workers are not notified of commits for now, and poll: %s", reason)
            time.sleep(MIN_PAUSE_SECONDS)
        finally:
            with self._lock:
                self._thread = None


commit_notifier = CommitNotifier()
os.register_at_fork(after_in_child=commit_notifier.reset)
