"""Limits of the system for the web server's sockets: open files, and responses that are not read."""

import logging
import resource
import socket
from pathlib import Path

logger = logging.getLogger(__name__)

DESCRIPTORS = Path("/proc/self/fd")


def allow_open_files(count: int) -> int:
    """Raises this process's own limit of open files to so many, or as far as the system lets it. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if wanted < count:
        logger.warning("the system allows %d open files, fewer than the %d of all connections", hard, count)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def limit_unread_responses(port: int, seconds: float) -> int:
    """Lets the system end connections whose client takes nothing of what was sent for so long.

    Set at the listening socket, it holds for all that it accepts. Linux only. Returns the number of sockets.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT") or not DESCRIPTORS.is_dir():
        return 0
    return sum(_limit(int(entry.name), port, int(seconds * 1000)) for entry in DESCRIPTORS.iterdir())


def _limit(descriptor: int, port: int, milliseconds: int) -> bool:
    try:
        one = socket.socket(fileno=descriptor)
    except OSError:  # a file, a pipe, or closed meanwhile
        return False
    try:
        if one.family not in (socket.AF_INET, socket.AF_INET6) or one.getsockname()[1] != port:
            return False
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    except OSError as error:
        logger.warning("a socket takes no limit for unread responses: %s", error)
        return False
    finally:
        one.detach()
    return True
