"""The figures of the database for /metrics: counting what waits takes seconds where much does, and a probe may not."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from django.conf import settings
from django.db import connections

from lockstep.api.errors import Unavailable

FRESH_SECONDS = 0.05  # that a probe waits for new figures where older ones are known
MAX_AGE_SECONDS = 300.0
AGE = (
    "# HELP lockstep_figures_age_seconds How old the figures of the subscriptions are.\n"
    "# TYPE lockstep_figures_age_seconds gauge\n"
    "lockstep_figures_age_seconds {:.3f}\n"
)


class FiguresLate(Unavailable):
    """The database has not counted what waits yet. Try again in a moment."""

    retry_after = 2


class LatestFigures:
    """Counts in a thread of its own, one count after the other, and gives the latest.

    The thread has no connection to the database between two counts: nothing would notice there that PostgreSQL was
    restarted, and every later count would fail.
    """

    def __init__(self, count: Callable[[], bytes]) -> None:
        self._count = count
        self._executor = ThreadPoolExecutor(1, "figures")
        self._lock = threading.Lock()
        self._running: Future[bytes] | None = None
        self._latest: tuple[float, bytes] | None = None

    def get(self) -> bytes:
        """New figures if they come in time, else the latest, with their age. Raises FiguresLate."""
        running = self._run()
        wait([running], FRESH_SECONDS if self._is_known() else settings.PROBE_SECONDS)
        if running.done() and (error := running.exception()):
            raise error
        if self._latest is None or not self._is_known():
            raise FiguresLate
        counted, figures = self._latest
        return figures + AGE.format(time.monotonic() - counted).encode()

    def _is_known(self) -> bool:
        return self._latest is not None and time.monotonic() - self._latest[0] < MAX_AGE_SECONDS

    def _run(self) -> "Future[bytes]":
        with self._lock:
            if self._running is None or self._running.done():
                self._running = self._executor.submit(self._keep)
            return self._running

    def _keep(self) -> bytes:
        try:
            figures = self._count()
        finally:
            connections.close_all()
        self._latest = time.monotonic(), figures
        return figures
