"""A page of the documents, executed: its files are written and its commands run, in a new project."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from kit.waiting import WAIT_TIMEOUT, eventually
from project.databases import drop_database

BLOCK = re.compile(
    r"<!-- (file: \S+|file: \S+, appended|run|shell|worker|register|receiver|server|deliver) -->\n((?: {4}.*\n|\n)+)"
)


class Site:
    """The project of a page."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        python = Path(sys.executable)
        self.environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
        for name in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH"):
            self.environment.pop(name, None)

    def run(self, command: str, text: str = "") -> str:
        """The output of a command that reads this text."""
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.environment, input=text, capture_output=True, text=True
        )
        expected = 2 if command.endswith("audit") else 0  # it says that the dead letter is a difference
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, kind: str, text: str) -> None:
        """Writes the file that a block names, "file: <name>" or "file: <name>, appended"."""
        name, _, appended = kind.removeprefix("file: ").partition(", ")
        if name == "site1/settings.py":
            text += "\n" + connection(self.database)
        with (self.folder / name).open("a" if appended else "w") as file:
            file.write(text + "\n")

    def work_until(self, expected: str) -> None:
        """A worker, until changes.txt has this and there is a dead letter."""
        command = [sys.executable, "manage.py", "lockstep", "worker"]
        worker = subprocess.Popen(command, cwd=self.folder, env=self.environment)
        try:
            eventually(lambda: expected in self.changes(), expected)
            eventually(lambda: '"dead": 1' in self.run("python manage.py lockstep status --json"), "the dead letter")
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(WAIT_TIMEOUT) == 0

    def changes(self) -> str:
        file = self.folder / "changes.txt"
        return file.read_text() if file.exists() else ""


@contextmanager
def new_site(folder: Path, name: str) -> Iterator[Site]:
    """A folder and a database for a project."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield Site(folder, name)
        drop_database(server, name)


def connection(database: str) -> str:
    """How this test's server is reached, which the tutorial leaves to libpq."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as server:
        info = server.info
        return (
            f'DATABASES["default"] |= {{"NAME": "{database}", "HOST": "{info.host}", "PORT": {info.port}, '
            f'"USER": "{info.user}", "PASSWORD": "{info.password}"}}'
        )
