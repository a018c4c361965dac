"""Waiting for what another process, thread or session does."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds until a test gives up waiting for something that should happen at once: they end what hangs, and assert
# nothing. A busy machine may need many; seeded bugs are given up sooner.
WAIT_TIMEOUT = float(os.environ.get("LOCKSTEP_TEST_PATIENCE", "120"))


def eventually(look: Callable[[], T], what: str = "", patience: float = WAIT_TIMEOUT) -> T:
    """Waits until `look` gives something true and returns it; fails with the last thing that it gave."""
    until = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < until, f"waited {patience:g} s for {what or look}; last seen: {seen!r}"
        time.sleep(0.02)
    return seen
