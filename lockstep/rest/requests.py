"""The parts of a request that views read."""

from collections.abc import Mapping
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from rest_framework.request import Request

from lockstep.rest.actors import actor_of as actor_of
from lockstep.rest.numbers import NATURAL
from lockstep.rest.parameters import QueryParameter, read_query, read_uuid
from lockstep.rest.routes import ID
from lockstep.rest.server.proxies import is_trusted, plain_address

MAX_HOPS = 20  # proxies of ours in a row


class ApiRequest(Request):
    """A request whose query parameters are those that the method declares."""

    declared: Mapping[str, QueryParameter] = {}  # the query parameters that the method takes

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The values of the query parameters. Raises ValidationError."""
        return read_query(self._request, self.declared)


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
