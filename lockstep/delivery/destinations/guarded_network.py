"""Connections to where strangers tell us: a name is resolved once, and the address that was checked is taken."""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore

from lockstep.delivery.destinations.addresses import Network, check_addresses

_MOST_ADDRESSES = 3  # of one name that are tried


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves names itself, so that nothing can lie between the check and the connection.

    TLS stays with the name: httpcore asks for and verifies the certificate of the URL's host, whatever the address. It
    has a thread of its own for resolving, because a slow name server must not hold up another destination.
    """

    def __init__(self, opened: Sequence[Network] = ()) -> None:
        self._opened = opened
        self._inner = httpcore.AnyIOBackend()
        self._resolver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhook-names")

    def close(self) -> None:
        """Does not wait for a name server that is still silent."""
        self._resolver.shutdown(wait=False, cancel_futures=True)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the checked addresses. Raises ForbiddenAddress, httpcore.ConnectError."""
        addresses = check_addresses(host, await self._resolve(host, port), self._opened)
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never: a stranger's URL has no business on this machine."""
        raise httpcore.ConnectError("webhooks go over TCP")

    async def sleep(self, seconds: float) -> None:
        """httpcore's waiting between attempts of its own."""
        await self._inner.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._resolver, _addresses, host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        return list(dict.fromkeys(found))


def _addresses(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def numeric_addresses(host: str) -> list[str]:
    """The addresses of a host that is written as a number in any of the forms that resolvers understand, or localhost.

    Empty for a name: it would have to be looked up, and means nothing until it is used.
    """
    flags = 0 if host == "localhost" or host.endswith(".localhost") else socket.AI_NUMERICHOST
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)]
    except (OSError, UnicodeError):
        return []
