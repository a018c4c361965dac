"""In what the three kinds of JSONPlaceholder differ. All of it was measured at the real ones."""

import re
from dataclasses import dataclass
from typing import Literal

Mode = Literal["persistent", "amnesiac", "public"]


@dataclass(frozen=True)
class Variant:
    """How one kind of server behaves where the kinds differ."""

    remembers: bool
    tells_location: bool
    """A POST is answered with a Location header."""
    reads_numbers: bool
    """"5" in a body, a path or a query becomes 5."""
    taken_id: Literal["fails", "answers", "renumbers"]
    """What a POST with an id that exists meets; "renumbers" goes for every id in a body."""
    missing_put: int
    missing_patch: int
    missing_delete: int
    malformed: int
    too_large: int


VARIANTS: dict[Mode, Variant] = {
    # json-server 0.17.4
    "persistent": Variant(
        remembers=True,
        tells_location=True,
        reads_numbers=False,
        taken_id="fails",
        missing_put=404,
        missing_patch=404,
        missing_delete=404,
        malformed=400,
        too_large=413,
    ),
    # npm jsonplaceholder 0.3.3, which is json-server 0.8.23 with its data put back before every request
    "amnesiac": Variant(
        remembers=False,
        tells_location=False,
        reads_numbers=True,
        taken_id="answers",
        missing_put=404,
        missing_patch=404,
        missing_delete=404,
        malformed=400,
        too_large=413,
    ),
    # jsonplaceholder.typicode.com, which is json-server 0.17 without storage
    "public": Variant(
        remembers=False,
        tells_location=True,
        reads_numbers=False,
        taken_id="renumbers",
        missing_put=500,
        missing_patch=200,
        missing_delete=200,
        malformed=500,
        too_large=500,
    ),
}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def as_number(value: object) -> object:
    """What json-server 0.8 makes of a text that looks like a number or a truth value."""
    if not isinstance(value, str) or (len(value) > 1 and value[0] == "0"):
        return value
    if value in ("true", "false"):
        return value == "true"
    if not _NUMBER.fullmatch(value):
        return value
    number = float(value)
    return int(number) if number.is_integer() else number


def as_text(value: object) -> str | None:
    """A JSON value as JavaScript writes it, which is how filters compare; None for null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, list):
        return ",".join(as_text(item) or "" for item in value)
    return None if value is None else str(value)
