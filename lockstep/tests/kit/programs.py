"""Tests that need an extra program: `@pytest.mark.needs("pgbouncer")`."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Program:
    """Whether it is here, and what to say where it is not."""

    is_here: Callable[[], bool]
    missing: str


def libfaketime() -> Path:
    """The library by which a program gets a clock of its own; where Debian puts it."""
    return next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), Path("/nowhere"))


PROGRAMS = {
    "libfaketime": Program(lambda: libfaketime().exists(), "libfaketime is not installed; .ci/run installs it"),
    "linux": Program(lambda: Path("/proc/self/stat").exists(), "it finds processes through /proc"),
    "redis-server": Program(lambda: shutil.which("redis-server") is not None, "redis-server is not installed"),
    "pgbouncer": Program(lambda: shutil.which("pgbouncer") is not None, "pgbouncer is not installed"),
}


def require(item: pytest.Item, programs: Mapping[str, Program] = PROGRAMS) -> None:
    """Skips a test whose extra program is absent; where all are required (CI) that is a failure."""
    for marker in item.iter_markers("needs"):
        program = programs[marker.args[0]]
        if not program.is_here():
            if os.environ.get("REQUIRE_ALL"):
                pytest.fail(f"REQUIRE_ALL is set and {program.missing}", pytrace=False)
            pytest.skip(program.missing)
