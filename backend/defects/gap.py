"""The comparison of the counter's tallies with the expected ones."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from backend.providers.counter import Counter, Tally
from lockstep.delivery.audit import Finding
from lockstep.http.errors import ProviderError
from lockstep.sql import statements

SQL = statements(__file__, "gap")


@dataclass(frozen=True, slots=True)
class Line:
    """The tallies of one user, by number."""

    user: int
    expected: Tally
    counted: Tally

    @property
    def gap(self) -> tuple[int, int]:
        """The numbers of creations and deletions that the counter lacks; negative if it has too many."""
        return self.expected.create - self.counted.create, self.expected.delete - self.counted.delete


def expected_tallies() -> dict[int, Tally]:
    """The expected tallies, from the change log, and from the rows for changes that the log no longer has."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["expected"])
        return {user: Tally(created, deleted) for user, created, deleted in cursor.fetchall()}


def counted_tallies() -> dict[int, Tally]:
    """The counter's tallies. Raises ProviderError."""

    async def fetch() -> dict[int, Tally]:
        async with Counter(settings.COUNTER_URL) as counter:
            return await counter.tallies()

    return asyncio.run(fetch())


def compare(expected: Mapping[int, Tally], counted: Mapping[int, Tally]) -> list[Line]:
    """A line for each user in either of them, by number."""
    return [
        Line(user, expected.get(user, Tally()), counted.get(user, Tally())) for user in sorted({*expected, *counted})
    ]


def counter_check() -> Finding:
    """Audits that the counter has the expected tallies."""
    try:
        lines = compare(expected_tallies(), counted_tallies())
    except ProviderError as error:
        return Finding("defects = counter", 0, not_compared=f"the counter could not be read: {error}")
    return Finding("defects = counter", len(lines), [f"user {line.user}" for line in lines if any(line.gap)])
