"""docs/how-to/app.md and docs/how-to/provider.md, line by line, in a copy of the backend."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.running import ROOT
from tests.support import address, database_url

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^(\S.*)\n\n((?: {4}.*\n|\n)+)", re.MULTILINE)
PLACE = re.compile(r"(In|At the end of|In place of the same lines of) `(.+)`(?:, here;.*)?:")
PYTHON = ".venv/bin/python"
SHELL = f"{PYTHON} manage.py shell"
DATABASE = f"how_to_{os.getpid()}"
# Of a migration: what makemigrations writes where the page has its own lines.
GENERATED = re.compile(r"    dependencies = \[.*?    operations = \[\n", re.DOTALL)


class Copy:
    """A folder with a backend that a page may change; all else is the repository's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for entry in ROOT.iterdir():
            if entry.name in ("backend", "manage.py"):
                copy = shutil.copytree if entry.is_dir() else shutil.copy
                copy(entry, folder / entry.name)
            elif not entry.name.startswith("."):
                (folder / entry.name).symlink_to(entry)
        url = address(psycopg.conninfo.make_conninfo(database_url(), dbname=DATABASE))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.endswith("_URL")},
            **{"DATABASE_URL": url, "DEBUG": "true", "SECRET_KEY": "of the how-tos", "PYTHONDONTWRITEBYTECODE": "1"},
        }

    def follow(self, page: str) -> str:
        """Writes the files of a page and runs its commands; returns what these said."""
        said = []
        for line, body in BLOCK.findall((ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")):
            block = dedent(body).strip() + "\n"
            place = PLACE.fullmatch(line)
            if place is None:
                said += [self.run(command) for command in block.splitlines()]
            elif place[2] == SHELL:
                said.append(self.run(SHELL, block))
            else:
                self.write(place[1], self.folder / place[2], block)
        return "\n".join(said)

    def write(self, where: str, file: Path, block: str) -> None:
        """Puts a block to its place; each folder on the way is a package."""
        if where == "At the end of":
            with file.open("a", encoding="utf-8") as end:
                end.write(block)
        elif where == "In":
            for folder in (file.parent.parent, file.parent):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "__init__.py").touch()
            file.write_text(block, encoding="utf-8")
        else:
            indented = "".join(f"    {line}\n" if line else "\n" for line in block.splitlines())
            text, count = GENERATED.subn(lambda _: indented, file.read_text(encoding="utf-8"))
            assert count == 1, text
            file.write_text(text, encoding="utf-8")

    def run(self, command: str, typed: str = "") -> str:
        words = [sys.executable if word == PYTHON else word for word in command.split()]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, input=typed, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and "Traceback" not in done.stderr, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


@pytest.fixture
def own_database(transactional_db: None) -> Iterator[None]:
    """An empty database beside that of the tests."""
    with psycopg.connect(database_url(), dbname="postgres", autocommit=True) as server:
        name = sql.Identifier(DATABASE)
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_every_block_about_an_app_does_what_it_says(copy: Copy, own_database: None):
    copy.run(f"{PYTHON} manage.py migrate")  # what a reader has before
    said = copy.follow("app.md")
    assert "Applying notes.0001_initial" in said
    assert "[('created', 'user:ada', 'In step.')]" in said


def test_every_block_about_a_provider_does_what_it_says(copy: Copy):
    assert copy.follow("provider.md") == ""
    tests = "backend/providers/quotes/tests/test_client.py"
    said = copy.run(
        f"{PYTHON} -m pytest --noconftest -p no:cacheprovider -p no:django -c {os.devnull} --rootdir . {tests}"
    )
    assert "2 passed" in said
