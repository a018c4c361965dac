"""The backend's worker and commands in processes of their own, and what tests ask of them."""

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
from django.test import Client

from lockstep.tests.kit.workers import WorkerProcess, worker_process
from tests.acceptance.running import ROOT

MANAGE = [sys.executable, str(ROOT / "manage.py")]
NO_PROVIDER = "http://127.0.0.1:9"  # nothing listens there


def manage(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """`manage.py` with these words, on this database."""
    environment = os.environ | {"DATABASE_URL": url, "POSTS_PROVIDER_URL": NO_PROVIDER}
    return subprocess.run([*MANAGE, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def working(url: str, folder: Path, **environment: str) -> AbstractContextManager[WorkerProcess]:
    """`manage.py lockstep worker` on this database, killed at the end of the block."""
    own = {"DATABASE_URL": url, "DEBUG": "true", "POSTS_PROVIDER_URL": NO_PROVIDER}
    return worker_process([*MANAGE, "lockstep", "worker"], folder, {**os.environ, **own, **environment})


def worker_state() -> str:
    """What /readyz says of workers."""
    return str(Client().get("/readyz").json()["worker"])


def fanned_out(database: psycopg.Connection, post: str) -> bool:
    """Whether the relay has seen this post."""
    found = database.execute("SELECT EXISTS (SELECT FROM lockstep_lane WHERE object_id = %s)", [post])
    return found.fetchone() == (True,)
