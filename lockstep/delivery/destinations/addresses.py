"""The addresses that a client's URL may resolve to: those of the public internet, and networks that are opened."""

import ipaddress
from collections.abc import Iterable, Sequence

from lockstep.conf import Network

__all__ = ["ANYWHERE"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# For destinations that the operator has configured.
ANYWHERE: Sequence[Network] = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))

# IPv6 with an embedded IPv4 address for a translator (RFC 6052): the inner address is the destination.
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")

# Local-use translation (RFC 8215). The position of the inner address depends on that network's prefix length: all of it
# counts as private, and can be opened by name.
_LOCALLY_TRANSLATED = ipaddress.IPv6Network("64:ff9b:1::/48")

# Older Pythons treat most of these as public; one of them is a cloud's metadata service.
_PROTOCOL_ASSIGNMENTS = ipaddress.IPv4Network("192.0.0.0/24")


class ForbiddenAddress(Exception):
    """The name resolves to an address that webhooks may not reach. The message hides it: it is of our own network."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is not an address on the public internet")


class NoPublicAddress(ForbiddenAddress):
    """The name resolves to no address on the public internet: to none, or to one that webhooks may not reach.

    The message hides which, because names of our own network are private.
    """

    def __init__(self, host: str) -> None:
        Exception.__init__(self, f"{host} has no address on the public internet")


def check_addresses(host: str, addresses: Iterable[str], opened: Sequence[Network] = ()) -> list[str]:
    """The addresses of a host, if all of them may be reached. Raises ForbiddenAddress."""
    found = list(addresses)
    if not found or not all(may_be_reached(address, opened) for address in found):
        raise ForbiddenAddress(host)
    return found


def may_be_reached(text: str, opened: Sequence[Network] = ()) -> bool:
    """Whether the address is public, or in an opened network. Embedded addresses are checked as well."""
    try:
        address = ipaddress.ip_address(text)  # keeps a scope ("fe80::1%eth0"), which is never public
    except ValueError:
        return False
    return any(address in network for network in opened) or all(_is_public(each) for each in _layers(address))


def _is_public(address: Address) -> bool:
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local  # the old private range
    translated = address in _LOCALLY_TRANSLATED
    special = (
        translated or address in _PROTOCOL_ASSIGNMENTS or address.is_multicast or address.is_reserved or site_local
    )
    return address.is_global and not special


def _layers(address: Address) -> Iterable[Address]:
    """The addresses that decide the route: the address itself, or the IPv4 addresses embedded in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address, address.sixtofour]
    if address.teredo:
        return [address, *address.teredo]
    if address in _TRANSLATED:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]
