"""Names of strangers' URLs: each is resolved once for a connection, and what was checked is what is connected to."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from aiohttp.abc import AbstractResolver, ResolveResult

from lockstep.delivery.destinations.addresses import ForbiddenAddress, Network, NoPublicAddress, check_addresses


class PublicResolver(AbstractResolver):
    """Gives the addresses of a name if every single one of them may be reached.

    The connection is made to these very addresses; TLS stays with the name. It has a thread of its own, because a slow
    name server must not hold up another destination.
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
        """Does not wait for a name server that is still silent."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@lru_cache(maxsize=4_096)
def numeric_addresses(host: str) -> Sequence[str]:
    """The addresses of a host that is written as a number in any of the forms that resolvers understand, or localhost.

    Empty for a name: it would have to be looked up, and means nothing until it is used.
    """
    flags = 0 if host == "localhost" or host.endswith(".localhost") else socket.AI_NUMERICHOST
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)]
    except (OSError, UnicodeError):
        return []


def _addresses(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
