import asyncio
import gc
import logging
import os
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from prometheus_client import start_http_server

from lockstep.changes import commands
from lockstep.changes.checks import every_trigger_is_in_force
from lockstep.changes.database_errors import UnsuitableDatabase
from lockstep.changes.query_log import bound_query_log
from lockstep.delivery.epochs import ForeignDatabase
from lockstep.delivery.subscriptions import registered, registered_families
from lockstep.delivery.worker import Worker

logger = logging.getLogger(__name__)

STOP_SECONDS = 8.5  # then a worker that was told to stop ends, whatever it waits for


class Command(commands.Command):
    help = "Delivers changes and runs the periodic work. As many as you like, on as many machines."

    def handle(self, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        bound_query_log()
        try:
            asyncio.run(self._work())
        except* ForeignDatabase as error:
            raise CommandError(" ".join((ForeignDatabase.__doc__ or "").split())) from error
        except* UnsuitableDatabase as errors:
            raise CommandError(str(first_of_all(errors))) from errors

    def _report_triggers(self) -> None:
        try:
            for problem in every_trigger_is_in_force(["default"], compare_definitions=False):
                self.stderr.write(self.style.ERROR(f"{problem.msg} {problem.hint}"))
        except DatabaseError as error:
            logger.warning("the triggers could not be checked: %s", error)
        finally:
            connections.close_all()

    async def _work(self) -> None:
        if settings.WORKER_METRICS_PORT:
            start_http_server(settings.WORKER_METRICS_PORT, settings.WORKER_METRICS_HOST)
        worker = Worker(registered(), registered_families())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, worker)
        await worker.availability.wait()
        if not worker.stopping.is_set():
            await asyncio.to_thread(self._report_triggers)
            gc.freeze()  # what is loaded by now is never garbage: searches for it leave it out (decision 51)
            await worker.run()


def stop(worker: Worker) -> None:
    """Lets the worker end in order, or ends it: what it had under way is begun again, as after `kill -9`."""
    worker.stopping.set()
    end = threading.Timer(STOP_SECONDS, give_up)
    end.daemon = True
    end.start()


def give_up() -> None:
    """Ends this process."""
    logger.error("the worker did not end within %g s, and is ended", STOP_SECONDS)
    os._exit(1)


def first_of_all(errors: BaseException) -> BaseException:
    """The first error of a group of groups."""
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
