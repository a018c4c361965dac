"""A stand-in as a process of its own, run by `python -m`."""

import signal
import sys
from collections.abc import Callable

from devstack.sandbox.standin import ServerInThread


def serve(start: Callable[[], ServerInThread], name: str) -> None:
    """Makes the stand-in, says on a line where it listens, and serves until SIGTERM or SIGINT."""
    signals = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread is made, so that only sigwait receives them, also while the data are generated.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with start() as server:
        sys.stdout.write(f"{name} listens on {server.url}\n")
        sys.stdout.flush()
        signal.sigwait(signals)
