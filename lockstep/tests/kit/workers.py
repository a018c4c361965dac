"""A worker beside the test: on a thread, or in a process of its own."""

import asyncio
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from lockstep.delivery.subscriptions import Family, Subscriber, registered, registered_families
from lockstep.delivery.worker import Worker

from .waiting import WAIT_TIMEOUT


@dataclass
class BackgroundWorker:
    """A worker on a thread of its own with its own event loop."""

    subscribers: Sequence[Subscriber] | None = None
    families: Sequence[Family] = ()
    schedule: tuple[float, ...] | None = None  # seconds before the nth attempt, of all subscribers; None: their own
    _worker: Worker | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    def start(self) -> "BackgroundWorker":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_TIMEOUT)
        return self

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        subscribers = registered() if self.subscribers is None else self.subscribers
        families = registered_families() if self.subscribers is None else self.families
        if self.schedule is not None:
            subscribers = [replace(subscriber, schedule=self.schedule) for subscriber in subscribers]
        self._worker = Worker(subscribers, families)
        self._ready.set()
        await self._worker.run()

    def stop(self) -> None:
        if self._thread and self._loop and self._worker:
            self._loop.call_soon_threadsafe(self._worker.stopping.set)
            self._thread.join(WAIT_TIMEOUT)
            assert not self._thread.is_alive(), "the worker did not stop"
            self._thread = None


class WorkerProcess:
    """`manage.py lockstep worker` and what it says."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.log = folder / "worker.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def stop(self, seconds: float) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def worker_process(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(command, folder, environment)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()
