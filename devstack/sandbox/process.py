"""A stand-in as a process of its own, run by `python -m`."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from devstack.sandbox.standin import ServerInThread


def argument_parser(name: str, port: int, *, folder: str) -> argparse.ArgumentParser:
    """The parser of the arguments that all stand-ins take; `folder` is the help for --folder."""
    parser = argparse.ArgumentParser(prog=f"python -m devstack.sandbox.{name}", allow_abbrev=False)
    parser.add_argument("--port", type=int, default=port, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--folder", type=Path, help=folder)
    return parser


def serve(start: Callable[[], ServerInThread], name: str) -> None:
    """Makes the stand-in, says on a line where it listens, and serves until SIGTERM or SIGINT."""
    signals = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread is made, so that only sigwait receives them, also while the data are generated.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with start() as server:
        sys.stdout.write(f"{name} listens on {server.url}\n")
        sys.stdout.flush()
        signal.sigwait(signals)
