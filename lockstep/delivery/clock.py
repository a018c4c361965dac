"""The database's clock, as a worker reads it: outgoing timestamps come from it, because clocks of machines differ."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class DatabaseClock:
    """A reading of the database's time, continued locally.

    It advances with time.monotonic(), which cannot be set. Without a reading it is this machine's time.
    """

    read: datetime = field(default_factory=lambda: datetime.now(UTC))
    at: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """The database's current time."""
        return self.read + timedelta(seconds=time.monotonic() - self.at)


def offset(database: float, before: float, after: float) -> float:
    """Seconds that this machine's clock is ahead of the database's, which was read between two local times."""
    return (before + after) / 2 - database
