"""How much one user, or one address, may ask for: RATE_LIMIT requests a minute of each web process.

Counted in the process: a limit that cost every request a statement would be dearer than what it saves. It is there for
loops that ran away; who may try to sign in how often is counted in the database (accounts/throttling.py).
"""

import time
from dataclasses import dataclass

from django.conf import settings

WINDOW = 60  # seconds
MOST_COUNTED = 50_000  # users and addresses that are remembered at once


@dataclass(slots=True)
class Rate:
    """What somebody has left in this minute."""

    limit: int
    remaining: int
    reset: int  # seconds

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW}',
            "RateLimit": f'"default";r={max(self.remaining, 0)};t={self.reset}',
        }


class Counter:
    """Requests of this minute, by whoever sent them."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[str, int] = {}

    def count(self, who: str) -> Rate:
        """Counts one more; `remaining` is below zero when it was too many."""
        now = time.time()
        minute = int(now // WINDOW)
        if minute != self._minute or len(self._counts) > MOST_COUNTED:
            self._minute, self._counts = minute, {}
        self._counts[who] = number = self._counts.get(who, 0) + 1
        limit = settings.RATE_LIMIT
        return Rate(limit, limit - number, WINDOW - int(now % WINDOW))


counter = Counter()
