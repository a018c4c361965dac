"""Query parameters: one declaration both documents and parses a parameter.

A view's method declares its parameters with `@extend_schema(parameters=…)`. The OpenAPI document lists them, and they
parse every request before its handler runs (requests.py): unknown, repeated and invalid parameters are errors. A method
without a declaration takes no parameters.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.fields import DateTimeField

from lockstep.rest.numbers import NATURAL

__all__ = ["UUID_TEXT", "QueryParameter", "choice", "moment", "text"]

Reader = Callable[[str], object]  # raises ValueError with a message for the client
MAX_TEXT = 200  # characters of a search text
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)


class QueryParameter(OpenApiParameter):
    """A query parameter: its schema, and the function that parses its text.

    An empty text is an error, unless it `may_be_empty`: then the parameter counts as not sent. The end of a range names
    the parameter of the beginning in `least`; an empty range is an error. `equal`: both ends are part of the range.
    """

    def __init__(
        self,
        name: str,
        schema: Mapping[str, object],
        read: Reader,
        description: str,
        *,
        may_be_empty: bool = False,
        least: str = "",
        equal: bool = False,
    ) -> None:
        super().__init__(name, dict(schema), description=description)
        self.read = read
        self.may_be_empty = may_be_empty
        self.default = schema.get("default")
        self.least, self.equal = least, equal

    def check_range(self, values: Mapping[str, Any]) -> None:
        """Raises ValueError if this value and the beginning of its range make an empty range."""
        if self.name not in values or self.least not in values:
            return
        value, least = values[self.name], values[self.least]
        if value < least or (value == least and not self.equal):
            relation = "not be less" if self.equal else "be later"
            raise ValueError(f"Must {relation} than {self.least}: nothing lies between them.")


def text(name: str, description: str, *, max_length: int = MAX_TEXT, may_be_empty: bool = False) -> QueryParameter:
    """A text of at most `max_length` characters."""

    def read(value: str) -> str:
        return read_text(value, max_length)

    schema = {"type": "string", "maxLength": max_length} | ({} if may_be_empty else {"minLength": 1})
    return QueryParameter(name, schema, read, description, may_be_empty=may_be_empty)


def integer(
    name: str,
    description: str,
    *,
    minimum: int = 0,
    maximum: int,
    default: int | None = None,
    may_be_empty: bool = False,
    hint: str = "",
) -> QueryParameter:
    """An integer within limits; `hint` is added to the error beyond them."""

    def read(value: str) -> int:
        if not NATURAL.fullmatch(value) or not minimum <= int(value) <= maximum:
            raise ValueError(f"Must be a whole number from {minimum} to {maximum:,}. {hint}".rstrip())
        return int(value)

    schema = {"type": "integer", "minimum": minimum, "maximum": maximum}
    schema |= {} if default is None else {"default": default}
    return QueryParameter(name, schema, read, description, may_be_empty=may_be_empty)


def choice(
    name: str,
    description: str,
    names: Collection[str],
    *,
    default: str | None = None,
    may_be_empty: bool = False,
    constants: Sequence[str] = (),
) -> QueryParameter:
    """One of these names; `constants` are their names in generated clients, if they are no identifiers."""

    def read(value: str) -> str:
        if value not in names:
            raise ValueError(f"Must be one of: {', '.join(names)}.")
        return value

    schema: dict[str, Any] = {"type": "string", "enum": list(names)} | ({} if default is None else {"default": default})
    schema |= {"x-enum-varnames": list(constants)} if constants else {}
    return QueryParameter(name, schema, read, description, may_be_empty=may_be_empty)


def uuid(name: str, description: str) -> QueryParameter:
    """A UUID."""
    return QueryParameter(name, {"type": "string", "format": "uuid"}, read_uuid, description)


def boolean(name: str, description: str) -> QueryParameter:
    """A boolean: `true` or `false`."""

    def read(value: str) -> bool:
        if value not in ("true", "false"):
            raise ValueError("Must be true or false.")
        return value == "true"

    return QueryParameter(name, {"type": "boolean"}, read, description)


def moment(name: str, description: str, *, least: str = "") -> QueryParameter:
    """A date and time (RFC 3339), in UTC if it has no offset."""
    return QueryParameter(name, {"type": "string", "format": "date-time"}, _read_moment, description, least=least)


def read_text(value: str, max_length: int = MAX_TEXT) -> str:
    """Checks that PostgreSQL can store a text. Raises ValueError."""
    if "\0" in value:
        raise ValueError("NUL characters are not allowed.")
    if len(value) > max_length:
        raise ValueError(f"Must have at most {max_length:,} characters.")
    return value


def read_uuid(value: str) -> UUID:
    """Parses a UUID in its canonical form; Python accepts others. Raises ValueError."""
    if not UUID_TEXT.fullmatch(value):
        raise ValueError("Must be a valid UUID.")
    return UUID(value)


def _read_moment(value: str) -> datetime:
    if DATE_TIME.fullmatch(value):
        with suppress(ValidationError):  # such as the 30th of February
            moment: datetime = DateTimeField().run_validation(value)
            return moment
    raise ValueError("Must be a date and time such as 2026-01-31T12:00:00Z.")
