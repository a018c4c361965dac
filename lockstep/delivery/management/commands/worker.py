import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from prometheus_client import start_http_server

from lockstep.changes import commands
from lockstep.changes.checks import every_trigger_is_in_force
from lockstep.changes.query_log import bound_query_log
from lockstep.delivery.epochs import ForeignDatabase
from lockstep.delivery.subscriptions import registered, registered_families
from lockstep.delivery.worker import Worker


class Command(commands.Command):
    help = "Delivers changes and runs the periodic work. As many as you like, on as many machines."

    def handle(self, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        bound_query_log()
        for problem in every_trigger_is_in_force(["default"], compare_definitions=False):
            self.stderr.write(self.style.ERROR(f"{problem.msg} {problem.hint}"))
        try:
            asyncio.run(_work())
        except* ForeignDatabase as error:
            raise CommandError(" ".join((ForeignDatabase.__doc__ or "").split())) from error


async def _work() -> None:
    if settings.WORKER_METRICS_PORT:
        start_http_server(settings.WORKER_METRICS_PORT, settings.WORKER_METRICS_HOST)
    worker = Worker(registered(), registered_families())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stopping.set)
    await worker.run()
