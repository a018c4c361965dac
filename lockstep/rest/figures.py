"""The metrics at /metrics: of the web server, and of the database.

The metrics of the web server are sums over its processes, which share files in PROMETHEUS_MULTIPROC_DIR. They do
not depend on the database. Counting pending deliveries there may take seconds, which is longer than a probe may take.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from django.db import Error, InterfaceError, OperationalError, connection, connections
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from psycopg.errors import QueryCanceled

from lockstep.changes.database_errors import UnsuitableDatabase, cause_of
from lockstep.conf import lockstep_settings
from lockstep.rest.middleware import REGISTRY

logger = logging.getLogger(__name__)

FRESH_SECONDS = 0.05  # a probe with older metrics waits so long for new ones
MAX_AGE_SECONDS = 300.0
UP = (
    "# HELP lockstep_database_up 1 where the database answers this web server; at 0 its metrics are missing.\n"
    "# TYPE lockstep_database_up gauge\n"
    "lockstep_database_up {:d}\n"
)
AGE = (
    "# HELP lockstep_metrics_age_seconds Age of the metrics that were read from the database.\n"
    "# TYPE lockstep_metrics_age_seconds gauge\n"
    "lockstep_metrics_age_seconds {:.3f}\n"
)


def of_web_server() -> bytes:
    """The metrics of all processes of this web server."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)


class DatabaseMetrics:
    """The metrics of the database, and `lockstep_database_up`.

    `latest` counts in a thread of its own. The thread closes its connection after each count: an open one would hide
    that PostgreSQL was restarted, and every later count would fail.
    """

    def __init__(self, count: Callable[[], bytes]) -> None:
        self._count = count
        self._executor = ThreadPoolExecutor(1, "metrics")
        self._lock = threading.Lock()
        self._running: Future[None] | None = None
        self._latest: tuple[float, bytes] | None = None
        self._is_up = False

    def now(self) -> bytes:
        """Counts on this thread's connection."""
        self._update()
        return self._exposition()

    def latest(self) -> bytes:
        """New metrics if they are there in time, else the latest; none but the gauge while the database is down."""
        running = self._run()
        # Half of what a probe may take: the rest is for the web server's own metrics.
        patience = lockstep_settings.REST_PROBE_SECONDS / 2
        wait([running], FRESH_SECONDS if self._is_up and self._has_recent() else patience)
        if running.done():
            running.result()  # raises unexpected errors
        return self._exposition()

    def _exposition(self) -> bytes:
        up = UP.format(self._is_up).encode()
        if not self._is_up or self._latest is None or not self._has_recent():
            return up
        counted, metrics = self._latest
        return metrics + AGE.format(time.monotonic() - counted).encode() + up

    def _has_recent(self) -> bool:
        return self._latest is not None and time.monotonic() - self._latest[0] < MAX_AGE_SECONDS

    def _run(self) -> "Future[None]":
        with self._lock:
            if self._running is None or self._running.done():
                self._running = self._executor.submit(self._update_and_disconnect)
            return self._running

    def _update_and_disconnect(self) -> None:
        try:
            self._update()
        finally:
            connections.close_all()

    def _update(self) -> None:
        """Stores the metrics, or that the database is down. A count that is still running is no outage."""
        try:
            connection.ensure_connection()
            self._is_up = True
            self._latest = time.monotonic(), self._count()
        except (Error, UnsuitableDatabase) as error:
            self._is_up = _is_reachable(error)
            logger.warning("the metrics of the database cannot be read: %s", str(error).partition("\n")[0])


def _is_reachable(error: Error | UnsuitableDatabase) -> bool:
    """Whether the database responded, if only with an error such as a missing table."""
    is_gone = isinstance(error, (OperationalError, InterfaceError, UnsuitableDatabase))
    return not is_gone or isinstance(cause_of(error), QueryCanceled)
