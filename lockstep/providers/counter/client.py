"""The client of a counter server: it reads what was counted. Counting itself is told by messages, not by this."""

from dataclasses import dataclass
from typing import Any

from lockstep.providers.errors import Garbled
from lockstep.providers.http import HttpClient, expect_success, read_object


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one user created, and deleted."""

    create: int = 0
    delete: int = 0


class Counter(HttpClient):
    """Reads one counter, at its very address."""

    def __init__(self, url: str, *, deadline: float = 10.0) -> None:
        super().__init__(url, deadline=deadline)
        self._url = url

    async def tallies(self) -> dict[int, Tally]:
        """Those of each user, by number. The counter shows {"users": {"1": {"create": 3, "delete": 1}}}."""
        async with (
            self._operation(write=False) as operation,
            self._answer(operation, "GET", self._url) as answer,
        ):
            await expect_success(answer, operation)
            users = (await read_object(answer)).get("users")
            if not isinstance(users, dict):
                raise Garbled("no users are shown")
            return {_number(user): _tally(tally) for user, tally in users.items()}


def _number(user: str) -> int:
    if not (user.isascii() and user.isdigit() and len(user) < 19):
        raise Garbled(f"not a user's number: {user!r:.50}")
    return int(user)


def _tally(document: Any) -> Tally:  # noqa: ANN401 - whatever JSON holds
    counts = [document.get(action, 0) for action in ("create", "delete")] if isinstance(document, dict) else []
    if not counts or any(type(count) is not int or count < 0 for count in counts):
        raise Garbled(f"not a tally: {document!r:.50}")
    return Tally(*counts)
