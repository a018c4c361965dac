"""Parses one large JSON array from a stream of bytes, in batches and in constant memory.

The trick that makes it as fast as the parser itself: cut what has come so far behind the last `}` and
parse it as an array. If that parses, every quote and brace in it is closed, so the cut was right; if not,
the brace was part of a string or of something larger. Only then is the text scanned for a boundary.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator

import orjson

from lockstep.http.errors import MalformedResponse
from lockstep.http.json_text import parse

__all__ = ["batches"]

PIECE = 256 * 1024
MAX_ELEMENT_BYTES = 8 * 1024 * 1024

_BLANK = b" \t\n\r"
_GUESSES = 4
_MAX_DEPTH = 1024  # the parser's own limit: what is deeper will never parse
# The last branches of the string let it end with the text, so that the pattern never backtracks.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\],]', re.DOTALL)


async def batches(chunks: AsyncIterable[bytes]) -> AsyncIterator[list[object]]:
    """The elements of the array, in order, in batches of about PIECE bytes of text.

    Elements may be of any type. Raises MalformedResponse when the text is not one whole JSON array, after having
    yielded the elements that were whole, and when one element exceeds MAX_ELEMENT_BYTES bytes.
    """
    reader = ArrayReader()
    waiting: list[bytes] = []
    size = 0
    async for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            for elements in reader.feed(b"".join(waiting)):
                yield elements
            waiting, size = [], 0
    for elements in reader.feed(b"".join(waiting)):
        yield elements
    for elements in reader.finish():
        yield elements


class ArrayReader:
    """The reading itself, without the waiting: feed it text, then finish it."""

    def __init__(self) -> None:
        self._rest = b""
        self._worth_a_try = PIECE
        self._opened = False
        self._any = False  # an element has been seen, so that a comma must come before the next
        self._comma = False  # a comma has been seen, so that an element must come
        self._closed = False

    def feed(self, text: bytes) -> Iterator[list[object]]:
        """Takes more text; yields a batch for each PIECE of it that completes one. Raises MalformedResponse."""
        for start in range(0, len(text), PIECE):
            self._rest += text[start : start + PIECE]
            if len(self._rest) >= self._worth_a_try:
                yield from self._take()

    def finish(self) -> Iterator[list[object]]:
        """Yields what is left; raises MalformedResponse unless it ends where the array does."""
        self._step()
        if not self._closed:
            yield from self._take_last()
        if not self._closed:
            raise MalformedResponse("the array is cut off")

    def _take(self) -> Iterator[list[object]]:
        self._step()
        if self._closed or len(self._rest) < PIECE:
            return
        elements = self._cut()
        if elements:
            yield elements
            self._worth_a_try = PIECE
            self._step()
        elif len(self._rest) > MAX_ELEMENT_BYTES:
            raise MalformedResponse(f"an element is larger than {MAX_ELEMENT_BYTES} bytes")
        else:  # doubling keeps the work linear however large the element is
            self._worth_a_try = min(2 * len(self._rest), MAX_ELEMENT_BYTES)

    def _take_last(self) -> Iterator[list[object]]:
        whole = self._parsed(self._rest.rstrip(_BLANK), close=b"")
        if whole and self._rest.rstrip(_BLANK).endswith(b"]"):
            self._closed = True
            yield whole
            return
        while not self._closed and (elements := self._cut()):
            yield elements
            self._step()

    def _step(self) -> None:
        """Steps over what stands between two elements, and over the array's ends."""
        self._rest = self._rest.lstrip(_BLANK)
        if not self._opened and self._rest:
            self._opened = self._skip(b"[")
            if not self._opened:
                raise MalformedResponse("not an array")
        if not self._closed and not self._comma:
            self._closed = self._skip(b"]")
            self._comma = not self._closed and self._any and self._separated()
        if self._closed and self._rest:
            raise MalformedResponse("there is more after the array's end")

    def _separated(self) -> bool:
        if self._rest and not self._rest.startswith(b","):
            raise MalformedResponse("two elements without a comma between them")
        return self._skip(b",")

    def _skip(self, mark: bytes) -> bool:
        found = self._rest.startswith(mark)
        if found:
            self._rest = self._rest[1:].lstrip(_BLANK)
        return found

    def _cut(self) -> list[object]:
        """Takes off the longest run of whole elements that it finds; [] when there is none yet."""
        for end in self._guesses():
            elements = self._parsed(self._rest[:end])
            if elements:
                return self._taken(elements, end)
        end = _boundary(self._rest)
        if not end:
            return []
        whole: object = self._parsed(self._rest[:end]) or parse(b"".join((b"[", self._rest[:end], b"]")))
        if not isinstance(whole, list) or not whole:
            raise MalformedResponse("not JSON")
        return self._taken(whole, end)

    def _guesses(self) -> Iterator[int]:
        end = len(self._rest)
        for _ in range(_GUESSES):
            end = self._rest.rfind(b"}", 0, end)
            if end < 0:
                break
            yield end + 1
        comma = self._rest.rfind(b",")
        if comma > 0:
            yield comma

    def _parsed(self, part: bytes, close: bytes = b"]") -> list[object]:
        try:
            elements = orjson.loads(b"".join((b"[", part, close)))
        except orjson.JSONDecodeError:
            return []
        return elements if isinstance(elements, list) else []

    def _taken(self, elements: list[object], end: int) -> list[object]:
        self._rest = self._rest[end:]
        self._any, self._comma = True, False
        return elements


def _boundary(text: bytes) -> int:
    """Where the last whole element of a run of elements ends; 0 when not even the first is whole."""
    depth = end = 0
    for token in _TOKEN.finditer(text):
        mark = token[0][:1]
        if mark in b"{[":
            depth += 1
            if depth > _MAX_DEPTH:
                raise MalformedResponse("nested too deeply")
        elif mark in b"}]":
            depth -= 1
            if depth < 0:
                return max(end, token.start())
            end = token.end() if depth == 0 else end
        elif mark == b"," and depth == 0:
            end = token.start()
    return end
