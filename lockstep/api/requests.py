"""What a view reads off a request."""

from collections.abc import Callable, Mapping
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from lockstep.api.numbers import NATURAL
from lockstep.api.parameters import QueryParameter, read_query, read_uuid
from lockstep.api.routes import ID
from lockstep.api.statements import Reading, Values
from lockstep.changes.attribution import Actor

MAX_HOPS = 20  # proxies of ours in a row


class Asking(Request):
    """A request of which a part is read in the same round trip as who is asking."""

    reading: Callable[[], Reading | None] | None = None  # what is to be read, asked by who authenticates
    found: Values | None = None  # what was there
    declared: Mapping[str, QueryParameter] = {}  # the query parameters that the method takes

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The values of the query parameters. Raises ValidationError."""
        return read_query(self._request, self.declared)


def actor_of(request: Request) -> Actor:
    """The request's user as the change log names it, confirmed again in the transaction that writes.

    It is made by the session that the request was authenticated with.
    """
    actor: Actor = request.auth.actor  # type: ignore[union-attr]  # a session: views without one write for no user
    return actor


def by_key(key: str) -> dict[str, object]:
    """What an object is looked for by: its id or its number, whichever stands in the address."""
    number = number_of(key)
    return {"pk": UUID(key)} if number is None else {"number": number}


def number_of(key: str) -> int | None:
    """The number that a key of an address is, in ASCII digits; None for any other key."""
    return int(key) if key.isascii() and key.isdigit() else None


def read_key(text: str) -> dict[str, object]:
    """The same as `by_key` for an object that a query parameter names. Raises ValueError."""
    if NATURAL.fullmatch(text) and len(text) < 19:
        return {"number": int(text)}
    try:
        return {"pk": read_uuid(text)}
    except ValueError as error:
        raise ValueError("Must be a valid UUID or a number.") from error


def key_parameter(name: str, description: str) -> QueryParameter:
    """A query parameter that names an object by its id or its number; it is read as what a query set filters by."""
    schema = {"type": "string", "pattern": f"^(?:0|[1-9][0-9]{{0,17}}|{ID})$"}
    return QueryParameter(name, schema, read_key, description)


def address_of(request: HttpRequest | Request) -> str | None:
    """From where the request comes: the last address in X-Forwarded-For that is no proxy of ours.

    Without TRUSTED_PROXIES that header is what anybody may write, and is not read. None when it comes by a socket.
    """
    address = _address(request.META.get("REMOTE_ADDR", ""))
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    while hops and address and any(ip_address(address) in network for network in settings.TRUSTED_PROXIES):
        forwarded = _address(hops.pop())
        if forwarded is None:
            break
        address = forwarded
    return address


def network_of(address: str | None) -> str:
    """Where one client is taken to be: an IPv4 address, or the network of 64 bits that an IPv6 address is in.

    What is counted by address is counted by this: one host may have all addresses of such a network.
    """
    if address is None:
        return ""
    given = ip_address(address)
    return address if given.version == 4 else str(ip_network((given, 64), strict=False))


def _address(text: str) -> str | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
