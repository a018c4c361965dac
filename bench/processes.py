"""What runs beside the bench: the stand-in, and the processes whose memory is measured."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import orjson

from bench.row import Figures
from devstack.launcher.cluster import program

ROOT = Path(__file__).resolve().parents[1]


def start_stand_in(stack: ExitStack, *, posts: int, comments_per_post: int) -> str:
    """A provider in a process of its own, until the stack ends; returns its address."""
    command = [sys.executable, "-m", "devstack.sandbox.jsonplaceholder", "--port", "0"]
    amounts = ["--posts", str(posts), "--comments-per-post", str(comments_per_post)]
    process = subprocess.Popen([*command, *amounts], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert process.stdout
    line = process.stdout.readline()
    return line.split()[-1]


@contextmanager
def start_worker(url: str) -> Iterator[None]:
    """A worker that pushes to the provider at `url`, until the end of the block."""
    command = [sys.executable, "manage.py", "lockstep", "worker"]
    environment = {**os.environ, "POSTS_PROVIDER_URL": url}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


class Listener(threading.Thread):
    """Reads what bench/listener.py prints: when each post reached its handler, by title."""

    def __init__(self, output: IO[str]) -> None:
        super().__init__(daemon=True)
        self.output = output
        self.arrived: dict[str, float] = {}

    def run(self) -> None:
        """Until it ends."""
        for line in self.output:
            title, moment = line.split()
            self.arrived[title] = float(moment)


@contextmanager
def start_listener() -> Iterator[Listener]:
    """A worker that is ready to hear of posts, until the end of the block."""
    command = [sys.executable, "-m", "bench.listener"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            listener = Listener(process.stdout)
            listener.start()
            yield listener
        finally:
            process.terminate()


def run_child(task: str, url: str) -> Figures:
    """Runs one task of bench/child.py against the provider at `url`."""
    command = [sys.executable, "-m", "bench.child", task]
    environment = {**os.environ, "POSTS_PROVIDER_URL": url}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    figures: Figures = orjson.loads(done.stdout)
    return figures


def run_pgbench(url: str, script: Path, *, clients: int, seconds: int, settings: str = "") -> float:
    """Transactions per second of one script, with these settings of its sessions (`-c name=value`)."""
    load = [f"--client={clients}", f"--jobs={min(clients, 2)}", f"--time={seconds}"]
    printed = _pgbench(url, ["--protocol=prepared", f"--file={script}", *load], settings)
    return float(printed.split("tps = ")[1].split()[0])


def as_in_pgbench(statement: str) -> str:
    """A statement on one line; :MI would be a variable, which is why the time's format changes."""
    line = " ".join(statement.replace("HH24:MI:SS", "HH24.MI.SS").split())
    return line if line.endswith(";") else f"{line};"


def pgbench_latencies(url: str, scripts: Sequence[Path], protocol: str, transactions: int, log: Path) -> list[float]:
    """Milliseconds of each of so many transactions by one client, each one of these scripts (128 at most) by chance."""
    files = [f"--file={script}" for script in scripts]
    _pgbench(url, [f"--protocol={protocol}", *files, f"--transactions={transactions}", "--log", f"--log-prefix={log}"])
    [written] = log.parent.glob(f"{log.name}.*")  # by the number of pgbench's process
    lines = written.read_text().splitlines()
    written.unlink()
    return [int(line.split()[2]) / 1000 for line in lines]


def _pgbench(url: str, options: list[str], settings: str = "") -> str:
    environment = {**os.environ, **_libpq_environment(url), "PGOPTIONS": settings}
    command = [str(program("pgbench")), "--no-vacuum", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pgbench ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _libpq_environment(url: str) -> dict[str, str]:
    """The password does not belong on a command line, which every user of the machine can read."""
    from psycopg.conninfo import conninfo_to_dict

    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    parts = conninfo_to_dict(url)
    return {variable: str(parts[name]) for name, variable in names.items() if parts.get(name) is not None}
