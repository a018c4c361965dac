"""The tutorial, line by line: its files are written, its commands run, and what it says is there is there."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from project.databases import drop_database

pytestmark = pytest.mark.postgresql
TUTORIAL = Path(__file__).parent / "tutorial.md"
BLOCK = re.compile(r"<!-- (file: \S+|file: \S+, appended|run|shell|worker) -->\n((?: {4}.*\n|\n)+)")
PATIENCE = 60.0


class Site:
    """The project of the tutorial."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        python = Path(sys.executable)
        self.environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
        for name in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH"):
            self.environment.pop(name, None)

    def run(self, command: str, given: str = "") -> str:
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.environment, input=given, capture_output=True, text=True
        )
        expected = 2 if command.endswith("audit") else 0  # it says that the dead letter is a difference
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, name: str, text: str, *, appended: bool) -> None:
        with (self.folder / name).open("a" if appended else "w") as file:
            file.write(text + "\n")

    def work_until(self, expected: str) -> None:
        """A worker, until the file has this."""
        command = [sys.executable, "manage.py", "lockstep", "worker"]
        worker = subprocess.Popen(command, cwd=self.folder, env=self.environment)
        try:
            ends = time.monotonic() + PATIENCE
            while expected not in self.changes() or '"dead": 1' not in self.run(
                "python manage.py lockstep status --json"
            ):
                assert time.monotonic() < ends, self.changes()
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE) == 0

    def changes(self) -> str:
        file = self.folder / "changes.txt"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def site(tmp_path: Path):
    name = f"tutorial_{os.getpid()}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield Site(tmp_path, name)
        drop_database(server, name)


def test_every_block_of_the_tutorial_runs(site: Site):
    text = TUTORIAL.read_text()
    site.run("django-admin startproject site1 .")
    site.run("python manage.py startapp blog")
    said: list[str] = []
    for kind, body in BLOCK.findall(text):
        block = dedent(body).strip()
        if kind.startswith("file: "):
            name, _, appended = kind.removeprefix("file: ").partition(", ")
            site.write(name, block, appended=bool(appended))
            if name == "site1/settings.py":
                site.write(name, connection(site.database), appended=True)
        elif kind == "run":
            said += [site.run(command) for command in block.splitlines()]
        elif kind == "shell":
            said.append(site.run("python manage.py shell", block + "\n"))
            assert "[('created', 'user:7'), ('updated', 'user:7')]" in said[-1]
        elif kind == "worker":
            site.work_until("updated Hello again by user:7\n")
    assert site.changes().startswith("created Hello by user:7\nupdated Hello again by user:7\n")
    everything = "\n".join(said)
    assert "Rejected: there is no place for it" in everything
    assert "blog.article: rows = log" in everything
    assert "Would replay 1 change of 1 object" in everything
    assert "Would drop the trigger lockstep_capture_insert on public.blog_article." in everything
    with psycopg.connect(os.environ["DATABASE_URL"], dbname=site.database) as own:
        assert own.execute("SELECT count(*) FROM blog_article").fetchone() == (3,)


def connection(database: str) -> str:
    """How this test's server is reached, which the tutorial leaves to libpq."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as server:
        info = server.info
        return (
            f'DATABASES["default"] |= {{"NAME": "{database}", "HOST": "{info.host}", "PORT": {info.port}, '
            f'"USER": "{info.user}", "PASSWORD": "{info.password}"}}'
        )
