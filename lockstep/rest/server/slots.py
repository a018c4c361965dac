"""Slots for concurrent requests, each with a connection to the database.

More concurrent requests would be slower, because they share one interpreter. A request that waits for a remote system
needs no slot: `remote_wait` gives its slot and its connection to the next request, and takes a slot again afterwards.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from lockstep.conf import lockstep_settings
from lockstep.rest.errors import Unavailable

__all__ = ["remote_wait"]

Task = Callable[[], None]
Handover = SimpleQueue[BaseDatabaseWrapper]


class TooManyRemoteWaits(Unavailable):
    """Too many requests wait for the same remote system. Nothing was changed; try again in a moment."""

    retry_after = 2


class Slots:
    """Threads that handle requests, one for each slot."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._tasks: SimpleQueue[Task | Handover] = SimpleQueue()
        for _ in range(count):
            self._start(None)

    def submit(self, task: Task) -> None:
        """Runs the task in the next free slot. It must not raise."""
        self._tasks.put(task)

    @property
    def waiting(self) -> int:
        """The number of tasks without a slot."""
        return self._tasks.qsize()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Gives the calling thread's slot and connection to another thread until the end of the block."""
        self._start(_detach())
        try:
            yield
        finally:
            connections.close_all()  # in case the block opened one, which it must not
            handover: Handover = SimpleQueue()
            self._tasks.put(handover)
            _attach(handover.get())

    def _start(self, connection: BaseDatabaseWrapper | None) -> None:
        threading.Thread(target=self._work, args=(connection,), name=self._name, daemon=True).start()

    def _work(self, connection: BaseDatabaseWrapper | None) -> None:
        if connection is not None:
            _attach(connection)
        _current.slots = self
        while True:
            task = self._tasks.get()
            if isinstance(task, SimpleQueue):
                task.put(_detach())
                return
            task()


class _Current(threading.local):
    slots: Slots | None = None  # to which the slot of this thread belongs


_current = _Current()


def _detach() -> BaseDatabaseWrapper:
    connection: BaseDatabaseWrapper = connections[DEFAULT_DB_ALIAS]
    if connection.in_atomic_block:
        raise RuntimeError("A transaction must not wait for a remote system.")
    if not connection.allow_thread_sharing:
        connection.inc_thread_sharing()  # used by one thread at a time, which Django cannot know
    del connections[DEFAULT_DB_ALIAS]
    return connection


def _attach(connection: BaseDatabaseWrapper) -> None:
    connections[DEFAULT_DB_ALIAS] = connection


class _RemoteWaits:
    """The requests of this process that wait for each remote system, in total and for each user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()

    @contextmanager
    def counted(self, remote: str, user: str | None) -> Iterator[None]:
        """Raises TooManyRemoteWaits."""
        limits: dict[tuple[str, ...], int] = {(remote,): lockstep_settings.SERVER_REMOTE_WAITS}
        if user is not None:
            limits[remote, user] = lockstep_settings.SERVER_REMOTE_WAITS_PER_USER
        with self._lock:
            if any(self._counts[key] >= limit for key, limit in limits.items()):
                raise TooManyRemoteWaits
            self._counts.update(limits.keys())
        try:
            yield
        finally:
            with self._lock:
                self._counts = +(self._counts - Counter(limits.keys()))


_remote_waits = _RemoteWaits()


@contextmanager
def remote_wait(remote: str, user: str | None = None) -> Iterator[None]:
    """Releases the slot while a request of this user waits for a remote system. Raises TooManyRemoteWaits.

    The block must not use the database. Without the web server there are no slots, and only the limits apply.
    """
    with _remote_waits.counted(remote, user):
        if _current.slots is None:
            yield
        else:
            with _current.slots.released():
                yield
