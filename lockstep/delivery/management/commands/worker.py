import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lockstep.changes.checks import every_trigger_is_in_force
from lockstep.delivery.subscriptions import registered, registered_families
from lockstep.delivery.worker import ForeignDatabase, Worker


class Command(BaseCommand):
    help = "Delivers changes and runs the periodic work. As many as you like, on as many machines."

    def handle(self, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        for problem in every_trigger_is_in_force(["default"]):
            self.stderr.write(self.style.ERROR(f"{problem.msg} {problem.hint}"))
        try:
            asyncio.run(_work())
        except* ForeignDatabase as error:
            raise CommandError(ForeignDatabase.__doc__ or "") from error


async def _work() -> None:
    worker = Worker(registered(), registered_families())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stopping.set)
    await worker.run()
