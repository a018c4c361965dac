"""What the counter should say, what it says, and the gap between them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from lockstep.changes.sql_file import load
from lockstep.delivery.audit import Finding
from lockstep.providers.counter import Counter, Tally
from lockstep.providers.errors import ProviderError

SQL = load(Path(__file__).parent / "sql" / "gap.sql")


@dataclass(frozen=True, slots=True)
class Line:
    """One user's, by number."""

    user: int
    expected: Tally
    counted: Tally

    @property
    def gap(self) -> tuple[int, int]:
        """How many creations and deletions the counter lacks; below zero where it has too many."""
        return self.expected.create - self.counted.create, self.expected.delete - self.counted.delete


def expected_tallies() -> dict[int, Tally]:
    """What a counter says that has heard of everything, from the change log and, where that is gone, the rows."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["expected"])
        return {user: Tally(created, deleted) for user, created, deleted in cursor.fetchall()}


def counted_tallies() -> dict[int, Tally]:
    """What the counter says. Raises ProviderError."""

    async def ask() -> dict[int, Tally]:
        async with Counter(settings.COUNTER_URL) as counter:
            return await counter.tallies()

    return asyncio.run(ask())


def compare(expected: Mapping[int, Tally], counted: Mapping[int, Tally]) -> list[Line]:
    """A line for each user that either knows, by number."""
    return [
        Line(user, expected.get(user, Tally()), counted.get(user, Tally())) for user in sorted({*expected, *counted})
    ]


def counter_check() -> Finding:
    """Whether the counter says what the log says, as a part of the audit."""
    try:
        lines = compare(expected_tallies(), counted_tallies())
    except ProviderError as error:
        return Finding("defects = counter", 0, not_compared=f"the counter could not be read: {error}")
    return Finding("defects = counter", len(lines), [f"user {line.user}" for line in lines if any(line.gap)])
