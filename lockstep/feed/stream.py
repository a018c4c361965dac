"""Changes as server-sent events: live, or after the client's last position."""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore
from typing import Self

import orjson
import psycopg
from django.http import StreamingHttpResponse

from lockstep.changes.attribution import Actor
from lockstep.conf import lockstep_settings
from lockstep.delivery import log_reader
from lockstep.delivery.log_reader import LogReader, Position, open_log_reader
from lockstep.delivery.subscriptions import Change
from lockstep.feed.shapes import serialize_change
from lockstep.rest import problems
from lockstep.rest.errors import DomainError, Unavailable

logger = logging.getLogger(__name__)

RETRY_MILLISECONDS = 1_000  # until a disconnected client reconnects
POLL_SECONDS = 1.0  # between reads of the log without a notification
ENTITLED_SECONDS = 2.0  # between checks of the client's rights
HEARTBEAT_SECONDS = 10.0  # of silence before a heartbeat, which detects dead connections
LIFE_SECONDS = 300.0  # then the client must reconnect with a valid token

EVENT_STREAM = "text/event-stream"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Wanted = Callable[[Change], bool]


class InvalidLastEventId(DomainError):
    """Last-Event-ID is not an id of this feed. Leave it out to start from now."""


class PositionExpired(DomainError):
    """The log no longer has the changes after this Last-Event-ID. Leave it out to start from now."""

    problem = problems.GONE


class LogNotReady(Unavailable):
    """No worker has run on this database yet, as after a restore. Try again later."""

    retry_after = 5


class TooManyStreams(Unavailable):
    """The server has reached its limit of streams. Try again in a moment."""

    retry_after = 5


_slots = BoundedSemaphore(lockstep_settings.FEED_STREAMS)


class Stream:
    """The body of the response. `close` releases its resources."""

    def __init__(self, resources: ExitStack, events: Generator[bytes]) -> None:
        self._resources = resources
        self._events = events

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        """Releases the resources. The server calls it for every response, even if it was never read."""
        self._events.close()
        self._resources.close()


def event_stream(
    last_event_id: str, wanted: Wanted, actor: Actor, is_gone: Callable[[], bool]
) -> StreamingHttpResponse:
    """A response with the `wanted` changes, until its actor loses the right to read or the client `is_gone`.

    Raises InvalidLastEventId, PositionExpired, LogNotReady and TooManyStreams before it begins.
    """
    with ExitStack() as resources:
        resources.enter_context(_slot())
        reader = resources.enter_context(open_log_reader())
        position = _begin(reader, last_event_id)
        stream = Stream(resources.pop_all(), _events(reader, position, wanted, actor, is_gone))
    return StreamingHttpResponse(stream, content_type=EVENT_STREAM, headers=STREAM_HEADERS)


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(blocking=False):
        raise TooManyStreams
    try:
        yield
    finally:
        _slots.release()


def _begin(reader: LogReader, last_event_id: str) -> Position:
    try:
        if not last_event_id:
            return reader.now()
        position = Position.parse(last_event_id)
        reader.validate(position)
    except log_reader.LogNotInitialised as error:
        raise LogNotReady from error
    except log_reader.InvalidPosition as error:
        raise InvalidLastEventId from error
    except log_reader.PositionExpired as error:
        raise PositionExpired from error
    return position


class _Entitlement:
    """The right of a stream's client to read."""

    def __init__(self, reader: LogReader, actor: Actor) -> None:
        self._reader, self._actor = reader, actor
        self._until = 0.0

    def holds(self) -> bool:
        """Whether the client may read, checked every ENTITLED_SECONDS."""
        if time.monotonic() < self._until:
            return True
        self._until = time.monotonic() + ENTITLED_SECONDS
        return self._reader.confirms(self._actor)


def _events(
    reader: LogReader, position: Position, wanted: Wanted, actor: Actor, is_gone: Callable[[], bool]
) -> Generator[bytes]:
    """The stream's events. It ends if the database fails, and its client resumes at its position."""
    try:
        yield from _changes(reader, position, wanted, actor, is_gone)
    except psycopg.Error as error:
        logger.warning("a stream ends because of the database: %s", str(error).partition("\n")[0])


def _changes(
    reader: LogReader, position: Position, wanted: Wanted, actor: Actor, is_gone: Callable[[], bool]
) -> Generator[bytes]:
    """Each wanted change with the position after it, and heartbeats with the current position."""
    yield b"retry: %d\nid: %s\n\n" % (RETRY_MILLISECONDS, str(position).encode())
    ends = time.monotonic() + LIFE_SECONDS
    silent_since = time.monotonic()
    entitlement = _Entitlement(reader, actor)
    while time.monotonic() < ends and not is_gone() and entitlement.holds():
        found = reader.read(position)
        if not found:
            position = reader.next_window(position)
            if position.start == position.end:
                reader.wait(POLL_SECONDS)
        for position, change in found:
            if wanted(change):
                yield _event(position, change)
                silent_since = time.monotonic()
        if time.monotonic() - silent_since >= HEARTBEAT_SECONDS:
            yield b"id: %s\n\n" % str(position).encode()
            silent_since = time.monotonic()


def _event(position: Position, change: Change) -> bytes:
    kind = f"{change.model}.{change.kind}".encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        str(position).encode(),
        kind,
        orjson.dumps(serialize_change(change), option=orjson.OPT_UTC_Z),
    )
