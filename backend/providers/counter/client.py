"""The client of a counter server, which reads its counts. The broadcast changes them."""

from dataclasses import dataclass

from lockstep.http.client import HttpClient, expect_success, read_object
from lockstep.http.errors import MalformedResponse
from lockstep.http.json_text import excerpt, integer_of, is_integer


@dataclass(frozen=True, slots=True)
class Tally:
    """How many defects one user created, and deleted."""

    create: int = 0
    delete: int = 0


class Counter(HttpClient):
    """Reads one counter, at its URL without a path added."""

    provider = "counter"

    async def tallies(self) -> dict[int, Tally]:
        """The tallies by the users' numbers. The response is {"users": {"1": {"create": 3, "delete": 1}}}."""
        async with (
            self._operation(write=False) as operation,
            self._answer(operation, "GET", self.url) as answer,
        ):
            await expect_success(answer, operation)
            users = (await read_object(answer)).get("users")
            if not isinstance(users, dict):
                raise MalformedResponse("no users in it")
            return {_number(user): _tally(tally) for user, tally in users.items()}


def _number(user: str) -> int:
    number = integer_of(user)
    if number is None:
        raise MalformedResponse(f"not a user's number: {excerpt(user)}")
    return number


def _tally(document: object) -> Tally:
    counts = [document.get(action, 0) for action in ("create", "delete")] if isinstance(document, dict) else []
    if not counts or not all(map(is_integer, counts)):
        raise MalformedResponse(f"not a tally: {excerpt(document)}")
    return Tally(*counts)
