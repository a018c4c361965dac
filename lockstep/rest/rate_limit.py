"""Rate limit: REST_RATE_LIMIT requests a minute for each user or anonymous address, in each web process.

Counted in memory: a statement for each request would cost more than the limit saves. It is a guard against runaway
loops, not against guessed passwords: a client has the limit once for each process.
"""

import time
from dataclasses import dataclass

from lockstep.conf import lockstep_settings

WINDOW = 60  # seconds
MAX_KEYS = 50_000  # users and addresses in memory


@dataclass(slots=True)
class Quota:
    """The requests left in this minute."""

    remaining: int
    reset: int  # seconds
    headers: dict[str, str]  # of draft-ietf-httpapi-ratelimit-headers


class FixedWindowLimiter:
    """The requests of this minute, by key."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[str, int] = {}

    def count(self, key: str) -> Quota:
        """Counts a request of this key; `remaining` is negative beyond the limit."""
        now = time.time()
        minute = int(now // WINDOW)
        if minute != self._minute or len(self._counts) > MAX_KEYS:
            self._minute, self._counts = minute, {}
        self._counts[key] = number = self._counts.get(key, 0) + 1
        limit = lockstep_settings.REST_RATE_LIMIT
        remaining, reset = limit - number, WINDOW - int(now % WINDOW)
        headers = {
            "RateLimit-Policy": f'"default";q={limit};w={WINDOW}',
            "RateLimit": f'"default";r={max(remaining, 0)};t={reset}',
        }
        return Quota(remaining, reset, headers)


limiter = FixedWindowLimiter()
