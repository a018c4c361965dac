"""Resolves names of clients' URLs: once for each connection, which is made to the checked addresses."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from aiohttp.abc import AbstractResolver, ResolveResult

from lockstep.conf import Network
from lockstep.delivery.destinations.addresses import ForbiddenAddress, NoPublicAddress, check_addresses

LOOPBACK = ("127.0.0.1", "::1")  # what all names below localhost mean (RFC 6761)


class PublicResolver(AbstractResolver):
    """Resolves a name if all of its addresses may be reached.

    The connection is made to these addresses; TLS verifies the name. It has a thread of its own, so that a slow name
    server does not delay other destinations.
    """

    def __init__(self, opened: Sequence[Network] = ()) -> None:
        self._opened = opened
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises NoPublicAddress."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, _addresses, host, port)
            addresses = check_addresses(host, dict.fromkeys(found), self._opened)
        except (OSError, UnicodeError, ForbiddenAddress) as error:
            raise NoPublicAddress(host) from error
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Closes the thread without waiting for the name server."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@lru_cache(maxsize=4_096)
def numeric_addresses(host: str) -> Sequence[str]:
    """The addresses of localhost, or of a host that is a number in any form that resolvers accept.

    Empty for other names, which are resolved at each connection. It waits for no name server.
    """
    if host.endswith(".localhost"):
        return LOOPBACK
    flags = 0 if host == "localhost" else socket.AI_NUMERICHOST  # localhost is in the file of hosts
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)]
    except (OSError, UnicodeError):
        return []


def _addresses(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
