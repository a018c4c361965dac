"""Ports that two processes of pytest, and connections, do not take from each other."""

import os
from itertools import cycle

from devstack.launcher.home import can_listen

# Of each process that runs tests, 100 of its own, below those that the system gives to connections: between the moment
# at which a port is chosen and the one at which it is listened on, neither another test nor a connection can take it.
FIRST_PORT = 10_000 + os.getpid() % 220 * 100
PORTS = cycle(range(FIRST_PORT, FIRST_PORT + 100))


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, and that no other test is given soon."""
    return next(port for port in PORTS if is_free(port))


def is_free(port: int) -> bool:
    try:
        can_listen("127.0.0.1", port)
    except OSError:
        return False
    return True
