"""Changes as server-sent events: live, and from where the client left off."""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore
from typing import Self

import orjson
import psycopg
from django.conf import settings
from django.http import StreamingHttpResponse

from lockstep.api import problems
from lockstep.api.errors import DomainError, Unavailable
from lockstep.changes.attribution import Actor
from lockstep.delivery.following import Follower, Forgotten, NoLog, NoPlace, Place, following
from lockstep.delivery.subscriptions import Change
from lockstep.feed.shapes import shown

logger = logging.getLogger(__name__)

RETRY_MILLISECONDS = 1_000  # after which a client that lost us comes back
LOOK_SECONDS = 1.0  # between looks at the log while nobody tells us that it has grown
ENTITLED_SECONDS = 2.0  # between looks at whether the client may still read
HEARTBEAT_SECONDS = 10.0  # silence that is broken, so that a connection nobody reads is found out
LIFE_SECONDS = 300.0  # then the client has to come back, and show its token again

EVENT_STREAM = "text/event-stream"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Wanted = Callable[[Change], bool]


class NotAPlace(DomainError):
    """Last-Event-ID is not an id of this feed. Leave it out to start from now."""


class Gone(DomainError):
    """The log lost what is at this Last-Event-ID, or does not reach back to it. Leave it out to start from now."""

    problem = problems.GONE


class NotYet(Unavailable):
    """There is nothing to follow before a worker has run on this database, as after a restore. Try again later."""

    retry_after = 5


class Busy(Unavailable):
    """This server has as many streams as it can serve. Try again in a moment."""

    retry_after = 5


_seats = BoundedSemaphore(settings.FEED_STREAMS)


class Stream:
    """The body of the answer. Whoever ends it, by reading to its end or by going away, gives everything back."""

    def __init__(self, resources: ExitStack, events: Generator[bytes]) -> None:
        self._resources = resources
        self._events = events

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        """Called by whoever serves the answer, also when it was never read."""
        self._events.close()
        self._resources.close()


def event_stream(
    last_event_id: str, wanted: Wanted, actor: Actor, is_gone: Callable[[], bool] = lambda: False
) -> StreamingHttpResponse:
    """An answer of the changes that are `wanted`, until its actor may not read any more or the client `is_gone`.

    Raises NotAPlace, Gone, NotYet and Busy before it begins.
    """
    with ExitStack() as resources:
        resources.enter_context(_seat())
        follower = resources.enter_context(following())
        place = _begin(follower, last_event_id)
        stream = Stream(resources.pop_all(), _events(follower, place, wanted, actor, is_gone))
    return StreamingHttpResponse(stream, content_type=EVENT_STREAM, headers=STREAM_HEADERS)


@contextmanager
def _seat() -> Iterator[None]:
    if not _seats.acquire(blocking=False):
        raise Busy
    try:
        yield
    finally:
        _seats.release()


def _begin(follower: Follower, last_event_id: str) -> Place:
    try:
        if not last_event_id:
            return follower.now()
        place = Place.parse(last_event_id)
        follower.examine(place)
    except NoLog as error:
        raise NotYet from error
    except NoPlace as error:
        raise NotAPlace from error
    except Forgotten as error:
        raise Gone from error
    return place


class _Entitlement:
    """Whether the client of a stream may still read it."""

    def __init__(self, follower: Follower, actor: Actor) -> None:
        self._follower, self._actor = follower, actor
        self._until = 0.0

    def holds(self) -> bool:
        """Looked at every ENTITLED_SECONDS, and taken to be so in between."""
        if time.monotonic() < self._until:
            return True
        self._until = time.monotonic() + ENTITLED_SECONDS
        return self._follower.confirms(self._actor)


def _events(
    follower: Follower, place: Place, wanted: Wanted, actor: Actor, is_gone: Callable[[], bool]
) -> Generator[bytes]:
    """The stream's events. Where the database fails it ends, and its client comes back to where it was."""
    try:
        yield from _changes(follower, place, wanted, actor, is_gone)
    except psycopg.Error as error:
        logger.warning("a stream ends because of the database: %s", str(error).partition("\n")[0])


def _changes(
    follower: Follower, place: Place, wanted: Wanted, actor: Actor, is_gone: Callable[[], bool]
) -> Generator[bytes]:
    """Every wanted change with the place after it. Silence is broken now and then, and tells how far we have read."""
    yield b"retry: %d\nid: %s\n\n" % (RETRY_MILLISECONDS, str(place).encode())
    ends = time.monotonic() + LIFE_SECONDS
    silent_since = time.monotonic()
    entitlement = _Entitlement(follower, actor)
    while time.monotonic() < ends and not is_gone() and entitlement.holds():
        found = follower.read(place)
        if not found:
            place = follower.move_on(place)
            if place.start == place.end:
                follower.wait(LOOK_SECONDS)
        for place, change in found:
            if wanted(change):
                yield _event(place, change)
                silent_since = time.monotonic()
        if time.monotonic() - silent_since >= HEARTBEAT_SECONDS:
            yield b"id: %s\n\n" % str(place).encode()
            silent_since = time.monotonic()


def _event(place: Place, change: Change) -> bytes:
    kind = f"{change.model}.{change.kind}".encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        str(place).encode(),
        kind,
        orjson.dumps(shown(change), option=orjson.OPT_UTC_Z),
    )
