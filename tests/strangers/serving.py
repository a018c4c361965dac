"""The web server as it is run, on the test database, and clients that do with a socket what no library would."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx

from backend import web_server
from tests.acceptance.running import ROOT, free_port
from tests.support import database_address, eventually

START_SECONDS = 180.0  # on a machine that does much else
WAIT_SECONDS = 60.0  # that a client waits for something that must come


@dataclass(frozen=True)
class Server:
    """A running web server."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, token: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=WAIT_SECONDS, trust_env=False)

    def send(self, text: str, body: bytes = b"") -> socket.socket:
        """A connection on which these lines were sent, and nothing is read yet."""
        held = socket.create_connection(("127.0.0.1", self.port), WAIT_SECONDS)
        held.sendall(text.replace("\n", "\r\n").encode() + body)
        return held


@contextmanager
def serving(folder: Path, **environment: object) -> Iterator[Server]:
    """With these settings, until the end of the block."""
    port, log = free_port(), folder / "web.log"
    settings = {
        "DATABASE_URL": database_address(),
        "DEBUG": "true",
        "LOG_LEVEL": "WARNING",
        **{name: str(value) for name, value in environment.items()},
    }
    command = web_server.command(sys.executable, host="127.0.0.1", port=port, workers=1)
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stdout=output, stderr=output) as process,
    ):
        server = Server(port, process, log)
        try:
            eventually(lambda: _is_alive(server), "the web server to answer", START_SECONDS)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT_SECONDS)


def _is_alive(server: Server) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        return httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def half_a_body(server: Server, path: str = "/auth/", length: int = 100) -> socket.socket:
    """The headers of a POST, and 4 bytes of its body."""
    return server.send(
        f"POST {path} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {length}\n\n", b'{"us'
    )


def response_on(held: socket.socket) -> tuple[HTTPResponse, bytes]:
    """What comes on this connection."""
    response = HTTPResponse(held)
    response.begin()
    return response, response.read()


def problem_on(held: socket.socket, status: int) -> dict[str, Any]:
    """The problem document that comes on this connection, which the server closes then."""
    response, body = response_on(held)
    assert response.status == status, body
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Connection"] == "close"
    assert response.headers["X-Request-ID"]
    assert is_closed(held)
    document: dict[str, Any] = json.loads(body)
    assert document["status"] == status
    return document


def is_closed(held: socket.socket) -> bool:
    """Whether the server ends the connection, in whatever way."""
    try:
        return held.recv(1) == b""
    except ConnectionResetError:
        return True


def reset(held: socket.socket) -> None:
    """Ends a connection as a client does that is killed."""
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    held.close()
