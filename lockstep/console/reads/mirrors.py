"""Mirrors: what the database knows of them (sql/mirrors.sql)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lockstep import console
from lockstep.console.charts import Point
from lockstep.console.reads.overview import MAX_COUNTED
from lockstep.console.reads.rows import read_rows
from lockstep.mirror.collections import Mirror, registered_mirrors
from lockstep.sql import statements

SQL = statements(console.__file__, "mirrors")

CHECKS = 168  # a week of hourly ones


@dataclass(frozen=True, slots=True)
class MirrorRow:
    """One mirror. `drift` are the counts of the last drift check, by kind; None before the first."""

    provider: str
    looked_at: datetime | None
    look_at: datetime | None
    shrunk_at: datetime | None
    stopped_at: datetime | None
    reason: str
    checked_at: datetime | None
    drift: Mapping[str, int] | None
    imported_at: datetime | None

    @property
    def differing(self) -> int:
        """How many objects differed at the last drift check."""
        return sum((self.drift or {}).values())

    @property
    def verdict(self) -> str:
        """ "good", "late" or "bad"."""
        if self.stopped_at:
            return "bad"
        return "late" if self.differing or self.shrunk_at or self.imported_at is None else "good"

    @property
    def words(self) -> str:
        """The verdict in words."""
        if self.stopped_at:
            return "Mending has stopped."
        if self.imported_at is None:
            return "Nothing was ever imported."
        if self.checked_at is None:
            return "Not compared yet."
        return f"{self.differing:,} differed." if self.differing else "In step at the last check."


def mirror_of(provider: str) -> Mirror | None:
    """The declared mirror of a provider."""
    return next((mirror for mirror in registered_mirrors() if mirror.provider == provider), None)


def read_mirrors(mirrors: Sequence[Mirror]) -> list[MirrorRow]:
    """The states of these mirrors, by provider."""
    rows = read_rows(SQL["states"], providers=[mirror.provider for mirror in mirrors]) if mirrors else []
    return [MirrorRow(*(*row[:7], json.loads(row[7]) if row[7] else None, row[8])) for row in rows]


def read_checks(provider: str) -> list[Point]:
    """How many objects differed at the latest drift checks, oldest first."""
    return sorted(read_rows(SQL["checks"], provider=provider, limit=CHECKS))


def read_unanswered(mirror: Mirror) -> int:
    """Writes without a clear response, counted up to MAX_COUNTED."""
    [(count,)] = read_rows(SQL["unanswered"], collections=mirror.keys, limit=MAX_COUNTED)
    return int(count)
