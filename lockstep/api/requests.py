"""What a view reads off a request."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request


def actor_of(request: Request) -> str:
    """How the change log names who is asking."""
    return f"user:{request.user.pk}"


def address_of(request: HttpRequest | Request) -> str | None:
    """From where the request comes: the last address in X-Forwarded-For that is no proxy of ours.

    Without TRUSTED_PROXIES that header is what anybody may write, and is not read. None when it comes by a socket.
    """
    address = _address(request.META.get("REMOTE_ADDR", ""))
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
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
