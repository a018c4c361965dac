"""A value that all requests of a process share for some seconds."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")

MIN_SECONDS, MAX_SECONDS = 4.0, 30.0
# Up to MAX_SECONDS, each process reads for at most one part in so many of the time: four processes take a percent.
SHARE_OF_TIME = 400


class Shared(Generic[T]):
    """What `read` returned last, for four seconds, or for up to thirty where reading takes long.

    So readers cost the database a quarter of a percent of a core for each process, however many they are. A database
    that is slow because something is wrong is read more often than that: a view of it that is minutes old helps no
    operator.
    """

    def __init__(self, read: Callable[[], T], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._lock = Lock()
        self._latest: tuple[T, float] | None = None  # the value, and when it is too old
        self._failure: tuple[Exception, float] | None = None  # the latest one, and when it came

    def get(self) -> T:
        """The value. While one thread reads, the others get the one before, unless that is out of date for MAX_SECONDS.

        Raises what `read` raises, and to all who waited for it: they do not read one after the other.
        """
        latest = self._latest
        now = self._clock()
        if latest and now < latest[1]:
            return latest[0]
        is_recent = latest is not None and now < latest[1] + MAX_SECONDS
        if not self._lock.acquire(blocking=not is_recent) and latest:
            return latest[0]
        try:
            if self._latest and self._clock() < self._latest[1]:
                return self._latest[0]
            if self._failure and self._failure[1] > now:
                raise self._failure[0]
            began = self._clock()
            value = self._try()
            ended = self._clock()
            self._latest = value, ended + min(max(MIN_SECONDS, (ended - began) * SHARE_OF_TIME), MAX_SECONDS)
            return value
        finally:
            self._lock.release()

    def _try(self) -> T:
        try:
            return self._read()
        except Exception as error:
            self._failure = error, self._clock()
            raise

    def forget(self) -> None:
        """Forgets the value."""
        self._latest = None
