"""Trusted proxies, and the headers that are accepted from them only."""

import logging
import re
from functools import lru_cache
from ipaddress import ip_address

from lockstep.conf import Network, lockstep_settings, networks
from lockstep.rest.server.environ import Environ

SCHEME = "HTTP_X_FORWARDED_PROTO"
WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15}):[0-9]{1,5}")

logger = logging.getLogger(__name__)


def plain_address(text: str) -> str | None:
    """An address in its canonical form, IPv4-mapped IPv6 as IPv4; None for an invalid address.

    Some proxies append the port: 192.0.2.7:4711, [2001:db8::7]:4711.
    """
    with_port = WITH_PORT.fullmatch(text.strip())
    try:
        address = ip_address(with_port[1] or with_port[2] if with_port else text.strip())
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_trusted(address: str) -> bool:
    """Whether REST_TRUSTED_PROXIES has this address, which is in its canonical form."""
    return any(ip_address(address) in network for network in networks(lockstep_settings.REST_TRUSTED_PROXIES))


def remove_untrusted_scheme(environ: Environ) -> None:
    """Removes an X-Forwarded-Proto that does not come from a trusted proxy.

    If the setting lacks the project's own proxy, its requests are redirected to https forever: hence the warning.
    """
    if SCHEME in environ and not _is_trusted_peer(
        environ["REMOTE_ADDR"], networks(lockstep_settings.REST_TRUSTED_PROXIES)
    ):
        del environ[SCHEME]


@lru_cache(1_000)
def _is_trusted_peer(text: str, proxies: tuple[Network, ...]) -> bool:
    address = plain_address(text)
    if address is None:  # a socket of this machine
        return False
    if any(ip_address(address) in network for network in proxies):
        return True
    if proxies:
        logger.warning("X-Forwarded-Proto of %s is ignored: it is not in REST_TRUSTED_PROXIES", text)
    return False
