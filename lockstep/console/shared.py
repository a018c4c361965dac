"""A value that all requests of a process share for some seconds."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")

MIN_SECONDS = 4.0
SHARE_OF_TIME = 100  # it is read for at most one part in so many of the time


class Shared(Generic[T]):
    """What `read` returned last, for four seconds, or longer where reading takes long.

    So readers cost the database a percent of a core at most, however many they are and however much waits.
    """

    def __init__(self, read: Callable[[], T], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._lock = Lock()
        self._latest: tuple[T, float] | None = None  # the value, and when it is too old

    def get(self) -> T:
        """The value. While one thread reads, the others get the one before, if any. Raises what `read` raises."""
        latest = self._latest
        if latest and self._clock() < latest[1]:
            return latest[0]
        if not self._lock.acquire(blocking=latest is None) and latest:
            return latest[0]
        try:
            if self._latest and self._clock() < self._latest[1]:
                return self._latest[0]
            began = self._clock()
            value = self._read()
            ended = self._clock()
            self._latest = value, ended + max(MIN_SECONDS, (ended - began) * SHARE_OF_TIME)
            return value
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Forgets the value."""
        self._latest = None
