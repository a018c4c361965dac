"""Which requests came: counted by method and first part of the path, the last thousand in full."""

import threading
from collections import Counter, deque
from datetime import UTC, datetime
from typing import TypedDict

MAX_ENTRIES = 1000


class Requests(TypedDict):
    """How many requests came, by "GET /posts", and the last of them: method, path, time."""

    counts: dict[str, int]
    last: list[dict[str, str]]


class RequestLog:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._last: deque[dict[str, str]] = deque(maxlen=MAX_ENTRIES)

    def note(self, method: str, target: str) -> None:
        """A request has come, with this path and query."""
        prefix = "/" + target.partition("?")[0].strip("/").partition("/")[0]
        entry = {"method": method, "path": target, "time": datetime.now(UTC).isoformat()}
        with self._lock:
            self._counts[f"{method} {prefix}"] += 1
            self._last.append(entry)

    def shown(self) -> Requests:
        """`counts` by "GET /posts", and the `last` requests, oldest first."""
        with self._lock:
            return {"counts": dict(self._counts), "last": list(self._last)}

    def reset(self) -> None:
        """Deletes them."""
        with self._lock:
            self._counts.clear()
            self._last.clear()
