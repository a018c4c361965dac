"""Socket options of the web server: open files, unread responses, the end of listening."""

import fcntl
import logging
import resource
import socket
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

__all__ = ["allow_open_files"]

logger = logging.getLogger(__name__)

DESCRIPTORS = Path("/proc/self/fd")
SO_BINDTOIFINDEX = 62  # Linux's; Python has no name for it
NO_INTERFACE = 2**31 - 1  # the index of no network interface
TCP_ESTABLISHED, TCP_LISTEN = 1, 10
SIZE_OF_INFO = 136  # tcp_info as far as it is read here
UNACKED = 24  # in tcp_info: of a socket that listens, the connections that wait to be accepted
BYTES_RECEIVED = 128  # in tcp_info


def allow_open_files(count: int) -> int:
    """Raises this process's limit of open files to `count`, or to the hard limit. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if wanted < count:
        logger.warning("the system allows %d open files, fewer than the %d of all connections", hard, count)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def limit_unread_responses(port: int, seconds: float) -> int:
    """Closes connections whose client has acknowledged nothing for `seconds`.

    Set on the listening socket, it applies to all accepted ones. Linux only. Returns the number of sockets.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return 0
    return _of_each(port, lambda one: one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000)))


def refuse_connections(port: int) -> int:
    """Refuses new connections to this port by binding its socket to an interface that does not exist. Linux only.

    Established connections are not affected, and can still be accepted. New ones are refused before anything is sent:
    a proxy tries another server. Closing the socket instead would reset connections that are not accepted yet, on
    which a request may be. Needs no privileges. Returns the number of sockets.
    """
    if not sys.platform.startswith("linux"):
        return 0
    return _of_each(port, _bind_to_nothing)


def _bind_to_nothing(one: socket.socket) -> None:
    if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):  # the accepted ones go on
        one.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, NO_INTERFACE)


def connections_unread(port: int) -> int:
    """The number of connections to this port that are not accepted, or have unread input. Linux only; else 0.

    A stopping server closes connections on which it has read nothing, although a request may be on its way.
    """
    unread = [0]

    def add(one: socket.socket) -> None:
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SIZE_OF_INFO)
        if info[0] == TCP_LISTEN:
            unread[0] += struct.unpack_from("I", info, UNACKED)[0]
        elif info[0] == TCP_ESTABLISHED:
            waiting = struct.unpack("i", fcntl.ioctl(one, termios.FIONREAD, b"\0\0\0\0"))[0]
            unread[0] += waiting > 0 or struct.unpack_from("Q", info, BYTES_RECEIVED)[0] == 0

    if sys.platform.startswith("linux"):
        _of_each(port, add)
    return unread[0]


def _of_each(port: int, do: Callable[[socket.socket], object]) -> int:
    """Calls `do` for each socket of this process at this port: listening and accepted ones."""
    if not DESCRIPTORS.is_dir():
        return 0
    return sum(_done(int(entry.name), port, do) for entry in DESCRIPTORS.iterdir())


def _done(descriptor: int, port: int, do: Callable[[socket.socket], object]) -> bool:
    try:
        one = socket.socket(fileno=descriptor)
    except OSError:  # a file, a pipe, or closed meanwhile
        return False
    try:
        if one.family not in (socket.AF_INET, socket.AF_INET6) or one.getsockname()[1] != port:
            return False
        do(one)
    except OSError as error:
        logger.warning("a socket option of the web server cannot be set: %s", error)
        return False
    finally:
        one.detach()
    return True
