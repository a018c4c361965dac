"""Graceful shutdown of the web server.

The parent sends each of its processes SIGTERM, after which the process

1. answers /readyz with 503, ends its streams in order, and goes on serving for SERVER_DRAIN_SECONDS, in which a
   load balancer stops sending requests to it,
2. refuses new connections, and reads the requests on established ones (rest/server/sockets.py),
3. raises SIGINT for the server's own handler, which closes idle connections, and ends with the last request.
"""

import asyncio
import logging
import signal
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

from lockstep.rest.server.sockets import connections_unread, refuse_connections

ACCEPT_SECONDS = 1.0  # for accepting pending connections and reading their first bytes

logger = logging.getLogger(__name__)


class Stream(Protocol):
    """A stream that can be asked to end."""

    ending: bool


class Stopping:
    """The state of the shutdown, and the streams that it ends."""

    def __init__(self, drain_seconds: float) -> None:
        self.has_begun = False
        self.port = 0  # of the server, once it is known
        self._drain_seconds = drain_seconds
        self._end: asyncio.Task[None] | None = None
        self._streams: WeakSet[Stream] = WeakSet()

    def listen(self) -> None:
        """Installs the signal handler. Called in the event loop, after the server has installed its own."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.begin)

    def add(self, stream: Stream) -> None:
        """Registers a stream that the shutdown ends."""
        self._streams.add(stream)
        stream.ending = self.has_begun

    def begin(self) -> None:
        """Handles SIGTERM, which the parent may send twice."""
        if self.has_begun:
            return
        self.has_begun = True
        for stream in self._streams:
            stream.ending = True
        if self._streams:
            logger.info("the server is stopping; %d streams end", len(self._streams))
        self._end = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        await asyncio.sleep(self._drain_seconds)
        refuse_connections(self.port)
        with suppress(TimeoutError):
            async with asyncio.timeout(ACCEPT_SECONDS):
                while connections_unread(self.port):  # noqa: ASYNC110 - the system has no event for it
                    await asyncio.sleep(0.01)
        signal.raise_signal(signal.SIGINT)
