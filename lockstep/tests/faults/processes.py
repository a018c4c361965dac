"""Commands of the engine's project, in processes of their own."""

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from kit.servers import address
from kit.workers import WorkerProcess, worker_process

DJANGO = [sys.executable, "-m", "django"]


def settings(url: str, **other: str) -> dict[str, str]:
    """The environment of a process on this database."""
    return {**os.environ, "DATABASE_URL": address(url), "DJANGO_SETTINGS_MODULE": "project.logged", **other}


def manage(url: str, *words: str, **other: str) -> "subprocess.CompletedProcess[str]":
    """`manage.py` with these words, on this database."""
    return subprocess.run(
        [*DJANGO, *words], env=settings(url, **other), capture_output=True, text=True, timeout=300, check=False
    )


def working(url: str, folder: Path, **other: str) -> AbstractContextManager[WorkerProcess]:
    """`manage.py lockstep worker` on this database."""
    return worker_process([*DJANGO, "lockstep", "worker"], folder, settings(url, **other))
