"""Query parameters: one declaration both documents and parses a parameter.

A view's method declares its parameters with `@extend_schema(parameters=…)`. The OpenAPI document lists them, and they
parse every request before its handler runs: unknown, repeated and invalid parameters are errors. A method without a
declaration takes no parameters.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.fields import DateTimeField

from lockstep.rest.errors import MAX_ERRORS
from lockstep.rest.numbers import NATURAL

Reader = Callable[[str], Any]  # raises ValueError with a message for the client
MAX_NAME = 100  # characters of an unknown name in an error
MAX_TEXT = 200  # characters of a search text
MAX_INTEGER = 10**18 - 1
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
REPLACEMENT = "�"  # Django's replacement for bytes that are not UTF-8


class QueryParameter(OpenApiParameter):
    """A query parameter: its schema, and the function that parses its text.

    An empty text is an error, unless it `may_be_empty`: then the parameter counts as not sent. The end of a range names
    the parameter of the beginning in `least`; an empty range is an error. `equal`: both ends are part of the range.
    """

    def __init__(
        self,
        name: str,
        schema: Mapping[str, Any],
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
    try:
        if DATE_TIME.fullmatch(value):
            moment: datetime = DateTimeField().run_validation(value)
            return moment
    except ValidationError:
        pass  # such as the 30th of February
    raise ValueError("Must be a date and time such as 2026-01-31T12:00:00Z.")


# --- Reading a request ----------------------------------------------------------------------------------


def read_query(request: HttpRequest, declared: Mapping[str, QueryParameter]) -> dict[str, Any]:
    """The values of the parameters of a request, with defaults. Raises ValidationError."""
    values = {name: one.default for name, one in declared.items() if one.default is not None}
    if not request.META.get("QUERY_STRING"):
        return values
    errors: dict[str, list[str]] = {}
    for name, texts in request.GET.lists():
        try:
            values.update(_read(request, name, texts, declared))
        except ValueError as error:
            errors[name[:MAX_NAME]] = [str(error)]
            if len(errors) == MAX_ERRORS:
                break
    for name, parameter in declared.items():
        try:
            parameter.check_range(values)
        except ValueError as error:
            errors[name] = [str(error)]
    if errors:
        raise ValidationError(errors)
    return values


def _read(
    request: HttpRequest, name: str, texts: list[Any], declared: Mapping[str, QueryParameter]
) -> Iterator[tuple[str, Any]]:
    """The name and value of one parameter; nothing if it is empty and may be. Raises ValueError."""
    parameter = declared.get(name)
    if parameter is None:
        valid = f"Valid parameters: {', '.join(declared)}." if declared else "This endpoint takes none."
        raise ValueError(f"Unknown query parameter. {valid}")
    if len(texts) > 1:
        raise ValueError("Must be sent only once.")
    [value] = texts
    if not value and parameter.may_be_empty:
        return iter(())
    if not value:
        raise ValueError("Must not be empty. Leave the parameter out instead.")
    if REPLACEMENT in value and not _is_utf8(request, name):
        raise ValueError("Must be UTF-8, percent-encoded.")
    return iter([(name, parameter.read(value))])


def _is_utf8(request: HttpRequest, name: str) -> bool:
    """Whether the bytes of this parameter are UTF-8; Django silently replaces those that are not."""
    query = request.META["QUERY_STRING"].encode("latin-1", "replace").decode(errors="surrogateescape")
    values = dict(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
    try:
        values[name].encode()
    except UnicodeEncodeError:  # a surrogate stands for an invalid byte
        return False
    return True


@cache
def parameters_of(view: type, method: str) -> Mapping[str, QueryParameter]:
    """The query parameters that a method of a view declares, by name; for OPTIONS those of all methods."""
    if method == "options":
        return {name: one for other in ("get", "post", "put", "patch", "delete") for name, one in _of(view, other)}
    return dict(_of(view, "get" if method == "head" else method))


def _of(view: type, method: str) -> Iterator[tuple[str, QueryParameter]]:
    from drf_spectacular.openapi import AutoSchema  # it imports the project's authentication, which may import us

    schema = getattr(getattr(view, method, None), "kwargs", {}).get("schema")
    if schema is None:
        return
    # In a project whose DEFAULT_SCHEMA_CLASS is not of drf-spectacular, the declaration lacks the methods of its class.
    complete = schema if issubclass(schema, AutoSchema) else type("Complete", (schema, AutoSchema), {})
    described, instance = complete(), view()
    instance.request, instance.kwargs = None, {}
    described.view, described.method = instance, method.upper()
    for parameter in described.get_override_parameters():
        if not isinstance(parameter, OpenApiParameter):
            raise TypeError(f"{view.__name__}.{method} declares {parameter!r}: declare each of its parameters instead.")
        if parameter.location == OpenApiParameter.QUERY and not isinstance(parameter, QueryParameter):
            raise TypeError(f"{view.__name__}.{method}: make {parameter.name!r} a QueryParameter, which can be read.")
        if isinstance(parameter, QueryParameter):
            yield parameter.name, parameter
