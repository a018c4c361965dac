"""Commands of the engine's project, in processes of their own."""

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from kit.workers import WorkerProcess, worker_process
from psycopg.conninfo import conninfo_to_dict

DJANGO = [sys.executable, "-m", "django"]


def address(url: str) -> str:
    """The same address in the form of DATABASE_URL."""
    parts: dict[str, Any] = conninfo_to_dict(url)
    return "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**parts)


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
