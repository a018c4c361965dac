"""The slots in which requests are worked on: so many at once, each with a connection to the database.

More at once are slower together: they share one interpreter. A request that waits for a remote system is not worked on:
`remote_wait` gives its slot and its connection to the next request, and takes one again before it goes on.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from lockstep.api.errors import Unavailable

Task = Callable[[], None]
Connection = Any  # one of Django's wrappers
Handover = SimpleQueue[Connection]


class TooManyRemoteWaits(Unavailable):
    """Too many requests wait for the same remote system. Nothing was changed; try again in a moment."""

    retry_after = 2


class Slots:
    """Threads that work on requests, each of which holds a slot. Only as many run as there are slots."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._tasks: SimpleQueue[Task | Handover] = SimpleQueue()
        for _ in range(count):
            self._start(None)

    def submit(self, task: Task) -> None:
        """Runs the task in the next slot that is free. It must not raise."""
        self._tasks.put(task)

    @property
    def waiting(self) -> int:
        """How many tasks have no slot yet."""
        return self._tasks.qsize()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Called in a slot's thread: another thread has the slot, and the connection, until the end of the block."""
        self._start(_detach())
        try:
            yield
        finally:
            connections.close_all()  # one that was opened meanwhile, against the rule
            handover: Handover = SimpleQueue()
            self._tasks.put(handover)
            _attach(handover.get())

    def _start(self, connection: Connection | None) -> None:
        threading.Thread(target=self._work, args=(connection,), name=self._name, daemon=True).start()

    def _work(self, connection: Connection | None) -> None:
        if connection is not None:
            _attach(connection)
        _here.slots = self
        while True:
            task = self._tasks.get()
            if isinstance(task, SimpleQueue):
                task.put(_detach())
                return
            task()


class _Here(threading.local):
    slots: Slots | None = None  # that this thread has one of


_here = _Here()


def _detach() -> Connection:
    connection: Connection = connections[DEFAULT_DB_ALIAS]
    if connection.in_atomic_block:
        raise RuntimeError("A transaction must not wait for a remote system.")
    if not connection.allow_thread_sharing:
        connection.inc_thread_sharing()  # one thread after the other, which Django cannot know
    del connections[DEFAULT_DB_ALIAS]
    return connection


def _attach(connection: Connection) -> None:
    connections[DEFAULT_DB_ALIAS] = connection


class _RemoteWaits:
    """How many requests of this process wait for each remote system, and how many of them for each user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()

    @contextmanager
    def counted(self, remote: str, user: str | None) -> Iterator[None]:
        """Raises TooManyRemoteWaits."""
        limits: dict[tuple[str, ...], int] = {(remote,): settings.REMOTE_WAITS}
        if user is not None:
            limits[remote, user] = settings.REMOTE_WAITS_PER_USER
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
    """Around a wait for a remote system, in the request of this user. Raises TooManyRemoteWaits.

    The database is not touched in the block. Where Django runs without the web server there are no slots, and the
    limits alone hold.
    """
    with _remote_waits.counted(remote, user):
        if _here.slots is None:
            yield
        else:
            with _here.slots.released():
                yield
