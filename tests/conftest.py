"""A system that was started before, for tests that are not about a first start; objects for those of all operations."""

import fcntl
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.running import Run, free_port
from tests.schema_fixtures import fixtures as fixtures


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LOCKSTEP_HOME whose first start, three times as long as the next ones, is over: one for all processes."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if base.name.startswith("popen-") else base  # the folder of one process of pytest-xdist
    home = folder / "started" / "home"
    with alone_in(folder):
        if not home.exists():
            start_once(folder / "starting" / "home")
            # It appears when the start has succeeded. Its processes have ended, and nothing in it names its folder.
            (folder / "starting").rename(home.parent)
    return home


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def start_once(home: Path) -> None:
    home.parent.mkdir()
    run = Run(home, free_port())
    try:
        run.until_ready()
        run.make.terminate()
        run.code()
        run.none_left()
    finally:
        run.end()


@pytest.fixture
def home(first_home: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return copied(first_home, tmp_path / "home")


def copied(first_home: Path, copy: Path) -> Path:
    """Who owns what stays: PostgreSQL insists on it.

    A start uses the ports of the one before where they are free; two copies at the same moment would have the same.
    """
    subprocess.run(["cp", "-a", str(first_home), str(copy)], check=True)
    environment = copy / "environment"
    environment.write_text(re.sub("(?m)^[A-Z_]*_URL=.*\n", "", environment.read_text()))
    return copy
