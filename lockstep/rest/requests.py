"""The parts of a request that views read."""

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from lockstep.rest.errors import MAX_ERRORS
from lockstep.rest.numbers import NATURAL
from lockstep.rest.parameters import QueryParameter, read_uuid
from lockstep.rest.routes import ID
from lockstep.rest.server.proxies import is_trusted, plain_address

__all__ = ["ApiRequest", "address_of", "by_key", "key_parameter", "network_of", "number_of"]

MAX_HOPS = 20  # proxies of ours in a row
MAX_NAME = 100  # characters of an unknown name in an error
REPLACEMENT = "�"  # Django's replacement for bytes that are not UTF-8


class ApiRequest(Request):
    """A request of a view, with its query parameters."""

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The values of the query parameters that the method declares. Raises ValidationError."""
        view, method = type(self.parser_context["view"]), (self.method or "").lower()
        return read_query(self._request, parameters_of(view, method))  # type: ignore[arg-type]  # a type is hashable


def by_key(key: str) -> dict[str, object]:
    """The filter for the object that a URL names by its id or by its number."""
    number = number_of(key)
    return {"pk": UUID(key)} if number is None else {"number": number}


def number_of(key: str) -> int | None:
    """The number in a key of a URL, if the key consists of ASCII digits; else None."""
    return int(key) if key.isascii() and key.isdigit() else None


def read_key(text: str) -> dict[str, object]:
    """The filter for the object that a query parameter names by its id or number. Raises ValueError."""
    if NATURAL.fullmatch(text) and len(text) < 19:
        return {"number": int(text)}
    try:
        return {"pk": read_uuid(text)}
    except ValueError as error:
        raise ValueError("Must be a valid UUID or a number.") from error


def key_parameter(name: str, description: str) -> QueryParameter:
    """A query parameter that names an object by its id or its number. Its value is a filter for a query set."""
    schema = {"type": "string", "pattern": f"^(?:0|[1-9][0-9]{{0,17}}|{ID})$"}
    return QueryParameter(name, schema, read_key, description)


def address_of(request: HttpRequest | Request) -> str | None:
    """The client's address: the last one in X-Forwarded-For that is not a trusted proxy.

    Without trusted proxies the header is ignored, because any client can set it. None for a request over a Unix socket.
    """
    address = plain_address(request.META.get("REMOTE_ADDR", ""))
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    while hops and address and is_trusted(address):
        forwarded = plain_address(hops.pop())
        if forwarded is None:
            break
        address = forwarded
    return address


def network_of(address: str | None) -> str:
    """The IPv4 address, or the /64 network of an IPv6 address, because one host may have all addresses of a /64.

    Everything that is counted by address is counted by this.
    """
    if address is None:
        return ""
    parsed = ip_address(address)
    return address if parsed.version == 4 else str(ip_network((parsed, 64), strict=False))


# --- Query parameters -----------------------------------------------------------------------------------


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
