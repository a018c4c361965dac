"""The database's clock, as a worker reads it: the clocks of machines differ, and what leaves us bears one time."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class DatabaseClock:
    """The database's time at one moment, and how far away that moment is.

    It goes on with time.monotonic(), which nobody sets: the time of this machine is not asked. Without a reading it is
    this machine's, for what has no database at hand.
    """

    read: datetime = field(default_factory=lambda: datetime.now(UTC))
    at: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """The time by the database."""
        return self.read + timedelta(seconds=time.monotonic() - self.at)
