"""The command that runs the web server, with the limits that it has itself. It knows no Django.

The event loop holds connections that send nothing, or half of their headers; `rest/server/` what comes after those.
"""

import os
import socket
from contextlib import suppress
from math import ceil
from pathlib import Path

MAX_CONNECTIONS = 8_000  # idle ones cost some kilobytes each; above that a client waits to be accepted
HEADER_MILLISECONDS = 30_000  # for the headers of a request, and between two requests of a connection
BACKLOG = 1_024  # connections that the system accepted and the server did not
MAX_DRAIN_SECONDS = 300  # of WEB_DRAIN_SECONDS
# Memory for the hash of a password, 19 MB, goes back to the system: by its own rule glibc would keep it for each thread
# that has hashed one, and a process of 120 MB had 200. It reads this at the start of a process.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1024 * 1024)}
# Of a container, in version 2 of control groups: "200000 100000", or "max 100000".
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores(quota: Path = QUOTA) -> int:
    """How many processors this process may use: those that the system lets it run on, within its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        microseconds, period = quota.read_text(encoding="ascii").split()
        if microseconds != "max":
            allowed = min(allowed, ceil(int(microseconds) / int(period)))
    return max(allowed, 1)


def command(
    python: str, *, host: str, port: int, workers: int, drain_seconds: float = 0.0, last_seconds: float = 3.0
) -> list[str]:
    """The program and its arguments.

    After SIGTERM it serves for `drain_seconds` (rest/server/stopping.py); requests in flight then have `last_seconds`.
    """
    options = {
        "interface": "asgi",
        "loop": "uvloop",
        "http": "1",  # by 2, or by guessing which, a connection that sends nothing would stay for ever
        "host": host,
        "port": str(port),
        "workers": str(workers),
        "backlog": str(BACKLOG),
        "backpressure": str(MAX_CONNECTIONS),
        "http1-header-read-timeout": str(HEADER_MILLISECONDS),
        "log-level": "error",
        "workers-kill-timeout": f"{drain_seconds + last_seconds:g}",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [python, "-m", "granian", *words, "--no-ws", "--respawn-failed-workers", "backend.config.asgi:application"]


def numeric(host: str) -> str:
    """The address that a host's name stands for: the web server takes no names. Raises socket.gaierror."""
    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][4][0])


def can_listen(host: str, port: int) -> None:
    """Raises OSError unless a server could listen there now."""
    address = numeric(host)
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        # As servers do: connections of an ended server that still linger are no reason to refuse.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1)
