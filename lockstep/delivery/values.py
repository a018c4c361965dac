"""Values as PostgreSQL takes them."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # as JSON writes it; behind an odd number of backslashes it is none


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot hold: NUL and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def as_json(value: object) -> str:
    """JSON that PostgreSQL can hold, of whatever a remote may have said."""
    return storable(NUL.sub(r"\1\\ufffd", json.dumps(value, ensure_ascii=False)))


def bigints(values: Iterable[int]) -> str:
    """A bigint[] as PostgreSQL reads it. psycopg looks at every element, which takes longer than the statement."""
    return "{" + ",".join(map(str, values)) + "}"


def booleans(values: Iterable[bool]) -> str:
    """A boolean[], likewise."""
    return "{" + ",".join("t" if value else "f" for value in values) + "}"


def microseconds(moment: datetime) -> int:
    """A moment as microseconds since 1970, which is all that PostgreSQL keeps of it; a float would round them."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(count: int) -> datetime:
    """The moment so many microseconds after the beginning of 1970. Raises OverflowError after the year 9999."""
    return EPOCH + count * MICROSECOND
