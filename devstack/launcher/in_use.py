"""What runs from the clone's .venv, so that `make clean` does not remove it under a process.

Each process locks a file of its own below it. The kernel releases the lock when the process dies, however it dies, and
children do not inherit it.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.launcher.environment import ROOT
from devstack.launcher.home import is_locked

VENV = ROOT / ".venv"
FOLDER = ".running"


@contextmanager
def held(what: str, venv: Path = VENV) -> Iterator[None]:
    """Marks the environment as in use. Does nothing in another one, or in another user's: neither is cleaned."""
    place = venv / FOLDER / str(os.getpid())
    if Path(sys.prefix).resolve() != venv.resolve() or not os.access(venv, os.W_OK):
        yield
        return
    place.parent.mkdir(exist_ok=True)
    with place.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(what)
        file.flush()
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def running(venv: Path = VENV) -> list[str]:
    """What runs from there, each as "process 4711, <what>"."""
    folder = venv / FOLDER
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [f"process {path.name}, {path.read_text()}" for path in found if is_locked(path)]
