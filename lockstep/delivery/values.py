"""Values in the text formats of PostgreSQL."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # JSON's escape of NUL, unless its backslash is escaped


def storable(text: str) -> str:
    """Replaces what PostgreSQL cannot store: NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def as_json(value: object) -> str:
    """JSON that PostgreSQL can store, of any value from a remote."""
    return storable(NUL.sub(r"\1\\ufffd", json.dumps(value, ensure_ascii=False)))


def bigints(values: Iterable[int]) -> str:
    """A bigint[] literal. psycopg's own conversion takes longer than the statement."""
    return "{" + ",".join(map(str, values)) + "}"


def booleans(values: Iterable[bool]) -> str:
    """A boolean[] literal."""
    return "{" + ",".join("t" if value else "f" for value in values) + "}"


def microseconds(moment: datetime) -> int:
    """A moment as microseconds since 1970, PostgreSQL's precision; a float would round them."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(count: int) -> datetime:
    """The moment so many microseconds after the beginning of 1970. Raises OverflowError after the year 9999."""
    return EPOCH + count * MICROSECOND
