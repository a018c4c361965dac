"""Task queues that people know, run beside ours: Celery over Redis, Procrastinate in PostgreSQL."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from bench.processes import ROOT
from bench.row import Unavailable
from devstack.launcher.home import free_port

CONCURRENCY = 20  # of Procrastinate's worker; Celery's has two processes, one for each core


def start(stack: ExitStack, command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":  # noqa: ANN401 - Popen's
    """A process that ends with the stack."""
    process = subprocess.Popen(command, cwd=ROOT, **options)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def start_redis(stack: ExitStack) -> str:
    """Redis in memory; its address, where Celery finds it too. Raises Unavailable."""
    if not shutil.which("redis-server"):
        raise Unavailable("redis-server is not installed (Debian: apt install redis-server)")
    port = free_port()
    quiet = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
    start(stack, ["redis-server", "--port", str(port), *quiet], stdout=subprocess.DEVNULL)
    address = os.environ["BENCH_REDIS"] = f"redis://127.0.0.1:{port}/0"
    from bench.celery_app import app

    app.conf.broker_url = address
    return address


@cache
def prepare_procrastinate() -> None:
    """Its tables, once in our database."""
    from bench.procrastinate_app import app

    with app.open():
        app.schema_manager.apply_schema()


@contextmanager
def celery_worker(stamps: Path | None = None) -> Iterator[None]:
    """Celery's worker; `stamps` is where its tasks write down when they were called."""
    words = ["celery", "-A", "bench.celery_app", "worker", "--concurrency", "2", "--loglevel", "CRITICAL"]
    with _worker(words, stamps):
        yield


@contextmanager
def procrastinate_worker(stamps: Path | None = None) -> Iterator[None]:
    """Procrastinate's worker; `stamps` as for Celery's."""
    words = ["procrastinate", "--app", "bench.procrastinate_app.app", "worker", "--concurrency", str(CONCURRENCY)]
    with _worker(words, stamps):
        yield


@contextmanager
def _worker(words: Sequence[str], stamps: Path | None) -> Iterator[None]:
    environment = {**os.environ, "BENCH_STAMPS": str(stamps or "")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:
        start(stack, [sys.executable, "-m", *words], env=environment, **quiet)
        yield
