"""What a view reads off a request."""

from collections.abc import Callable
from ipaddress import ip_address
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from lockstep.api.statements import Reading, Values

MAX_HOPS = 20  # proxies of ours in a row


class Asking(Request):
    """A request of which a part is read in the same round trip as who is asking."""

    reading: Callable[[], Reading | None] | None = None  # what is to be read, asked by who authenticates
    found: Values | None = None  # what was there


def actor_of(request: Request) -> str:
    """How the change log names who is asking."""
    return f"user:{request.user.pk}"


def by_key(key: str) -> dict[str, object]:
    """What an object is looked for by: its id or its number, whichever stands in the address."""
    return {"number": int(key)} if key.isdigit() else {"pk": UUID(key)}


def key_parameter(name: str, text: str) -> dict[str, object]:
    """The same for an object that the query names. Raises ValidationError, which names the parameter."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return {"number": int(text)}
    return {"pk": uuid_parameter(name, text)}


def uuid_parameter(name: str, text: str) -> UUID:
    """A UUID of the query. Raises ValidationError, which names the parameter."""
    try:
        return UUID(text)
    except ValueError as error:
        raise ValidationError({name: ["A UUID."]}) from error


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


def _address(text: str) -> str | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
