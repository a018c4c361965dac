"""Several workers by one command: `manage.py lockstep worker --processes 4`."""

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

from django.conf import settings
from django.core.management.base import CommandError

from lockstep.conf import lockstep_settings
from lockstep.delivery.process import STOP_SECONDS, WORKER_NUMBER, first_of_all
from lockstep.delivery.waiting import Signal, first_of

logger = logging.getLogger(__name__)

WORKER = (sys.executable, "-m", "django", "lockstep", "worker")
MAX_PORT = 65_535
RESTART_SECONDS = 1.0  # between the end of a worker and its next start
START_SECONDS = 10.0  # a worker that ends by itself within this time cannot work, and is not started again


def run_workers(count: int) -> None:
    """Keeps so many workers running until SIGTERM or SIGINT. Raises CommandError where one cannot start."""
    if lockstep_settings.WORKER_METRICS_PORT + count - 1 > MAX_PORT:
        raise CommandError(f"WORKER_METRICS_PORT is too high for {count} workers: each has a port, up to {MAX_PORT}.")
    try:
        asyncio.run(_Workers().run(count))
    except* CommandError as errors:
        raise CommandError(str(first_of_all(errors))) from errors


class _Workers:
    def __init__(self) -> None:
        self.stopping = Signal()
        self.running: dict[int, Process] = {}

    async def run(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, self.stop)
        try:
            async with asyncio.TaskGroup() as workers:
                for number in range(count):
                    workers.create_task(self._keep(number))
        finally:
            self.stop()
            await self._end()

    def stop(self) -> None:
        """Tells all workers to stop: each ends its deliveries in flight."""
        self.stopping.set()
        for process in self.running.values():
            with suppress(ProcessLookupError):
                process.terminate()

    async def _keep(self, number: int) -> None:
        """Starts one worker, again and again. Raises CommandError where it ends soon after its start."""
        while not self.stopping.is_set():
            began = time.monotonic()
            # A worker whose standard input ends stops: it does not outlive this process, however that ends.
            process = await asyncio.create_subprocess_exec(*WORKER, stdin=PIPE, env=_environment(number))
            self.running[number] = process
            if self.stopping.is_set():  # before this worker was known
                self.stop()
            code = await process.wait()
            if self.stopping.is_set():
                return
            if code >= 0 and time.monotonic() - began < START_SECONDS:  # not killed
                raise CommandError(f"Worker {number} ended with exit code {code} when it had just started.")
            logger.error("worker %d ended with exit code %d, and is started again", number, code)
            await first_of(self.stopping, seconds=RESTART_SECONDS)

    async def _end(self) -> None:
        """Waits for all workers, a little longer than each gives itself."""
        ends = [asyncio.ensure_future(process.wait()) for process in self.running.values()]
        if ends:
            await asyncio.wait(ends, timeout=STOP_SECONDS + 0.5)
        for process in self.running.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


def _environment(number: int) -> dict[str, str]:
    """This process's own, with its settings and import path, which may come from manage.py and its options."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    own = {WORKER_NUMBER: str(number), "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE, "PYTHONPATH": path}
    return {**os.environ, **own}
