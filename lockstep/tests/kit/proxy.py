"""A TCP proxy that can stop forwarding while its system goes on acknowledging: the peer is gone without a word.

With `tls` it speaks TLS with PostgreSQL's clients, and in the clear with the server.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

SSL_REQUEST_BYTES = 8


class Proxy:
    """Forwards from a port of its own, on a thread with its own event loop."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._forwards: asyncio.Event  # of the connections that are made from now on
        self._all: list[asyncio.Event] = []
        self._server: asyncio.Server
        self.port = 0
        self.withheld = 0  # bytes that came in while nothing was forwarded

    def freeze(self, *, new: bool = True) -> None:
        """Stops forwarding on existing connections and, by default, on `new` ones."""
        self._call(self._freeze, new)

    def thaw(self) -> None:
        """Forwards on the connections that are made from now on. Those of before stay dead."""
        self._call(self._renew)

    def _freeze(self, new: bool) -> None:
        for forwards in self._all:
            forwards.clear()
        if not new:
            self._renew()

    def _renew(self) -> None:
        self._forwards = asyncio.Event()
        self._forwards.set()
        self._all.append(self._forwards)

    async def start(self) -> None:
        self._renew()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        forwards = self._forwards
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            if self._tls:
                await reader.readexactly(SSL_REQUEST_BYTES)
                writer.write(b"S")
                await writer.start_tls(self._tls)
            await forwards.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(self._pump(reader, far_writer, forwards), self._pump(far_reader, writer, forwards))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, forwards: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if not forwards.is_set():
                    self.withheld += len(data)
                await forwards.wait()
                target.write(data)
                await target.drain()
        if forwards.is_set():
            target.close()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        async def call() -> None:
            function(*arguments)

        self.run(call())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def serve(self) -> None:
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextmanager
def proxy_to(port: int, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy to a port of this machine."""
    proxy = Proxy(port, tls)
    thread = threading.Thread(target=proxy.serve, name="proxy", daemon=True)
    thread.start()
    proxy.run(proxy.start())
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(30)
