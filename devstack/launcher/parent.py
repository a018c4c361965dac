"""Whether the `make` that started the launcher was interrupted."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

CHECK_SECONDS = 0.5


def interrupted_make() -> Callable[[], bool]:
    """A function, to be called often: whether the parent `make` was signalled to end, or killed.

    GNU make passes SIGTERM on. A SIGINT that is sent to it alone it does not: it expects that the terminal sends one to
    us, too, stops catching the signal and waits for us for ever. Linux shows which signals a process catches. The
    function is never True when the parent is no `make`, or did not catch SIGINT from the start.
    """
    parent, next_check = os.getppid(), 0.0
    if not _is_make(parent) or not _catches_interrupt(parent):
        return lambda: False

    def is_interrupted() -> bool:
        nonlocal next_check
        if time.monotonic() < next_check:
            return False
        next_check = time.monotonic() + CHECK_SECONDS
        return os.getppid() != parent or not _catches_interrupt(parent)

    return is_interrupted


def _is_make(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() in ("make", "gmake")
    except OSError:
        return False


def _catches_interrupt(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(caught >> (signal.SIGINT - 1) & 1)
