"""A page of the documents, executed: its files are written and its commands run, in a new project.

The line above each block of code says where it belongs: "In `<file>`:", "At the end of `<file>`:" or
"In `python manage.py shell`:". The lines of any other block are commands.
"""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import psycopg
from kit.waiting import WAIT_TIMEOUT, eventually
from project.databases import drop_database

BLOCK = re.compile(r"^(\S.*)\n\n((?: {4}.*\n|\n)+)", re.MULTILINE)
PLACE = re.compile(r"(In|At the end of) `(.+)`:")
SHELL = "python manage.py shell"
END_OF_INPUT = "\x04"


class Site:
    """The project of a page."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        python = Path(sys.executable)
        self.output: list[str] = []
        self.environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
        for name in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH"):
            self.environment.pop(name, None)

    def follow(self, page: str, execute: Callable[[str], None]) -> None:
        """Does what the page says, but for installing packages; `execute` is called with each command."""
        for line, body in BLOCK.findall(page):
            block = dedent(body).strip()
            place = PLACE.fullmatch(line)
            if place is None:
                for command in block.splitlines():
                    if not command.startswith("pip install "):
                        execute(command)
            elif place[2] == SHELL:
                self.paste(block)
            else:
                self.write(place[2], block, is_appended=place[1] != "In")

    def paste(self, text: str) -> None:
        """Executes text in an interactive shell, which reads a line at a time: an empty one ends an indented block."""
        terminal, keyboard = pty.openpty()
        attributes = termios.tcgetattr(keyboard)
        attributes[3] &= ~termios.ECHO  # of the local modes
        termios.tcsetattr(keyboard, termios.TCSANOW, attributes)
        os.write(terminal, f"{text}\n{END_OF_INPUT}".encode())
        try:
            done = self._run(SHELL, stdin=keyboard)
        finally:
            os.close(terminal)
            os.close(keyboard)
        assert done.returncode == 0 and "Error" not in done.stderr, f"{text}\n{done.stdout}{done.stderr}"

    def run(self, command: str) -> str:
        """The output of a command."""
        done = self._run(command, stdin=subprocess.DEVNULL)
        expected = 2 if command.endswith("audit") else 0  # it says that the dead letter is a difference
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _run(self, command: str, stdin: int) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.environment, stdin=stdin, capture_output=True, text=True
        )
        self.output.append(done.stdout)
        return done

    def write(self, name: str, text: str, *, is_appended: bool = False) -> None:
        """Writes a file of the page; the settings with the address of this test's server."""
        if name == "site1/settings.py":
            text += "\n" + connection(self.database)
        with (self.folder / name).open("a" if is_appended else "w") as file:
            file.write(text + "\n")

    def work_until(self, expected: str) -> None:
        """A worker, until changes.txt has this and there is a dead letter."""
        self.work(lambda: expected in self.changes(), '"dead": 1')

    def work(self, is_done: Callable[[], bool], status: str = "") -> None:
        """A worker, until this is so and the status as JSON has these words."""
        command = [sys.executable, "manage.py", "lockstep", "worker"]
        worker = subprocess.Popen(command, cwd=self.folder, env=self.environment)
        try:
            eventually(is_done, "what the worker does")
            eventually(lambda: status in self.run("python manage.py lockstep status --json"), status)
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
