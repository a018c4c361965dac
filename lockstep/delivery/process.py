"""The worker's process: signals, probes, shutdown."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from django.core.management.base import CommandError
from django.db import DatabaseError

from lockstep import telemetry
from lockstep.changes.checks import capture_is_in_force
from lockstep.changes.commands import start_traces
from lockstep.changes.database_errors import UnsuitableDatabase
from lockstep.changes.query_log import bound_query_log
from lockstep.conf import lockstep_settings
from lockstep.delivery import probes
from lockstep.delivery.database import in_thread
from lockstep.delivery.epochs import ClusterMismatch
from lockstep.delivery.subscriptions import registered, registered_families
from lockstep.delivery.worker import Worker

logger = logging.getLogger(__name__)

# A variable of a supervised worker (supervisor.py): its number, from 0. Its port is that much higher.
WORKER_NUMBER = "LOCKSTEP_WORKER_NUMBER"
STOP_SECONDS = 8.5  # after which a stopping worker is ended


def run_worker(*, tell: Callable[[str], object], warn: Callable[[str], object]) -> None:
    """Delivers until stopped. Raises CommandError where it cannot start or continue.

    `tell` is told that the worker is ready, and that it has stopped, where that is not logged.
    """
    bound_query_log()
    start_traces("worker")
    try:
        asyncio.run(_work(tell, warn))
    except* ClusterMismatch as error:
        raise CommandError(" ".join((ClusterMismatch.__doc__ or "").split())) from error
    except* UnsuitableDatabase as errors:
        raise CommandError(str(first_of_all(errors))) from errors
    finally:
        telemetry.flush()


async def _work(tell: Callable[[str], object], warn: Callable[[str], object]) -> None:
    worker = Worker(registered(), registered_families())
    if not logging.getLogger(Worker.__module__).isEnabledFor(logging.INFO):
        worker.tell = tell  # Django's own logging configuration drops it
    loop = asyncio.get_running_loop()
    number = os.environ.get(WORKER_NUMBER)
    if port := lockstep_settings.WORKER_METRICS_PORT:
        port += int(number or 0)
        try:
            probes.serve(probes.Probes(worker, loop), lockstep_settings.WORKER_METRICS_HOST, port)
        except OSError as error:
            raise CommandError(f"WORKER_METRICS_PORT {port} is not available: {error.strerror}.") from error
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop, worker)
    if number:
        loop.add_reader(sys.stdin.fileno(), _stop_without_supervisor, worker, loop)
    await worker.availability.wait()
    if not worker.stopping.is_set():
        await in_thread(lambda: _report_faults(warn))
        gc.freeze()  # what is loaded by now is never garbage: collections skip it (decision 51)
        await worker.run()


def _report_faults(warn: Callable[[str], object]) -> None:
    try:
        for problem in capture_is_in_force([lockstep_settings.DATABASE], compare_definitions=False):
            warn(f"{problem.msg} {problem.hint}")
    except DatabaseError as error:
        logger.warning("the triggers could not be checked: %s", error)


def stop(worker: Worker) -> None:
    """Stops the worker, or ends its process after STOP_SECONDS: unfinished deliveries are repeated, as after a kill."""
    worker.stopping.set()
    end = threading.Timer(STOP_SECONDS, give_up)
    end.daemon = True
    end.start()


def _stop_without_supervisor(worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
    """Called when standard input can be read. The supervisor writes nothing to it, so it has ended."""
    loop.remove_reader(sys.stdin.fileno())
    stop(worker)


def give_up() -> None:
    """Ends this process."""
    logger.error("the worker did not end within %g s, and is ended", STOP_SECONDS)
    os._exit(1)


def first_of_all(errors: BaseException) -> BaseException:
    """The first error of a group of groups."""
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
