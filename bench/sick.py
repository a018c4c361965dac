"""Receivers of every kind: `python -m bench.sick` prints its port, then a line for what reaches /watched.

/well answers 204 at once, and so does /watched, which prints the title and the time of each post. The others fail, each
in its way.
"""

import asyncio
import gzip
import itertools
import os
import struct
import time
from collections.abc import Awaitable, Callable
from socket import SO_LINGER, SOL_SOCKET

import orjson

FAR_LONGER_THAN_ANY_DEADLINE = 600.0
LATENCY = 0.2  # seconds

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _plain(status: str, headers: str = "", body: bytes = b"") -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body)

    return answer


async def _late(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(LATENCY)
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def _cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def _hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(FAR_LONGER_THAN_ANY_DEADLINE)


async def _drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    for _turn in itertools.count():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.5)


async def _garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(os.urandom(4_000))
    writer.close()


BOMB = gzip.compress(b"\0" * 50_000_000)

SICK: dict[str, Answer] = {
    "/cut": _cut,
    "/late": _late,
    "/reset": _reset,
    "/5xx": _plain("503 Service Unavailable"),
    "/429": _plain("429 Too Many Requests", "retry-after: 1\r\n"),
    "/hang": _hang,
    "/drip": _drip,
    "/garbage": _garbage,
    "/bomb": _plain("200 OK", "content-encoding: gzip\r\n", BOMB),
    "/redirect": _plain("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n"),
}
WELL = _plain("204 No Content")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the requests of one connection."""
    try:
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
            path = head.split()[1]
            if path == "/watched":
                print(orjson.loads(body)["data"]["after"]["title"], time.time(), flush=True)
            await SICK.get(path, WELL)(reader, writer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serves until it is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
