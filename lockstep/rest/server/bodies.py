"""Reads request bodies before a request uses other resources, within limits of size, time and memory.

The limit of memory is for all bodies together: incoming ones, those that wait for a slot, and those of requests in
progress.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from lockstep.rest.json import BodyTooLarge
from lockstep.rest.server.environ import Message
from lockstep.rest.server.refusals import CLOSE, ClientGone, Refusal

Receive = Callable[[], Awaitable[Message]]

FREE_PIECES, PIECE_BYTES = 128, 256  # a piece costs the event loop the same whatever its size


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`seconds` in the beginning, plus one for every `bytes_per_second` received."""

    max_bytes: int
    seconds: float
    bytes_per_second: int
    max_bytes_together: int


@dataclass(eq=False, slots=True)
class _Upload:
    """An incoming body."""

    timeout: asyncio.Timeout
    began: float
    received: int = 0
    pieces: list[bytes] = field(default_factory=list)
    evicted: bool = False


class Bodies:
    """The bodies of this process, all read on one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._uploads: dict[_Upload, None] = {}  # oldest first
        self._received = 0  # bytes of all bodies that are held

    @asynccontextmanager
    async def held(self, receive: Receive, length: int) -> AsyncIterator[bytes]:
        """The whole body of the declared length, which counts until the end of the block.

        Raises Refusal and ClientGone.
        """
        if length > self._limits.max_bytes:
            raise self._too_large()
        upload = _Upload(asyncio.timeout(self._limits.seconds), asyncio.get_running_loop().time())
        try:
            yield await self._read(upload, receive, length)
        finally:
            self._received -= upload.received

    async def _read(self, upload: _Upload, receive: Receive, length: int) -> bytes:
        self._uploads[upload] = None
        try:
            async with upload.timeout:
                await self._collect(upload, receive, length)
        except TimeoutError:
            raise _refused(upload) from None
        finally:
            del self._uploads[upload]
        if upload.evicted:  # by its own last piece
            raise _refused(upload)
        body = b"".join(upload.pieces)
        upload.pieces.clear()
        return body

    async def _collect(self, upload: _Upload, receive: Receive, length: int) -> None:
        while upload.received < length:
            message = await receive()
            piece, more = message.get("body", b""), message.get("more_body", False)
            if message["type"] == "http.disconnect":
                raise ClientGone
            self._take(upload, piece)
            if not more and upload.received < length:
                raise ClientGone

    def _take(self, upload: _Upload, piece: bytes) -> None:
        upload.pieces.append(piece)
        upload.received += len(piece)
        self._received += len(piece)
        if upload.received > self._limits.max_bytes:
            raise self._too_large()
        if len(upload.pieces) > FREE_PIECES + upload.received // PIECE_BYTES:
            raise Refusal(408, "The body arrives in too many pieces. Send it in larger ones.")
        if self._received > self._limits.max_bytes_together:
            self._evict_oldest()
        if not upload.evicted:
            earned = upload.received / self._limits.bytes_per_second
            upload.timeout.reschedule(upload.began + self._limits.seconds + earned)

    def _too_large(self) -> Refusal:
        return Refusal(413, str(BodyTooLarge(self._limits.max_bytes)))

    def _evict_oldest(self) -> None:
        oldest = next((one for one in self._uploads if not one.evicted), None)
        if oldest:
            oldest.evicted = True
            oldest.timeout.reschedule(0)


def _refused(upload: _Upload) -> Refusal:
    if upload.evicted:
        return Refusal(503, "Too many bodies are being received. Try again in a moment.", CLOSE | {"Retry-After": "2"})
    return Refusal(408, "The body did not arrive in time. Send the request again, with all of its body.")
