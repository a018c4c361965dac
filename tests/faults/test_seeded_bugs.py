"""Each seeded bug, put into a copy of the project, makes the test fail that is there to catch it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from lockstep.tests.project.databases import drop_database
from tests.acceptance.running import ROOT
from tests.faults.seeded_bugs import BUGS, SeededBug
from tests.side_by_side import SERVERS

PASSED, FAILED = 0, 1  # pytest's exit codes; anything above is an error of another kind
KEEP_OUT = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "staticfiles")
SCHEMA = (
    "capture.sql",
    "schema.sql",
    "changes/sql/triggers.sql",
    "changes/sql/protection.sql",
    "folding.sql",
    "search.sql",
    "tags.sql",
    "unpaid.sql",
    "changes/capture.py",
    "changes/triggers.py",
    "changes/columns.py",
    "changes/protection.py",
    "lockstep/install.py",
    "migrations/",
    "models.py",
)  # what a database is made of
ENGINE, CONSOLE = "lockstep/tests/", "lockstep/tests/test_console"
QUICKER = {"LOCKSTEP_TEST_PATIENCE": "6"}
QUICKER |= {"LOCKSTEP_NO_SHRINK": "1", "LOCKSTEP_SCHEDULES": "300"}  # that it fails is enough

DATABASES = ("test_seeded", "test_engine", "test_extras")

Run = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Place:
    """A copy of the project, and one test database for all bugs that change no schema: to make it takes long.

    Tests below ENGINE are the engine's own: they run from there, on its project and another database; those of the
    console on a third one, which has the extras.
    """

    folder: Path
    moments: Iterator[int] = field(default_factory=lambda: count(1))

    def run(self, bug: SeededBug) -> Run:
        """The run of the test that is there to catch it."""
        file = self.folder / bug.file
        right = file.read_text()
        assert right.count(bug.right) == bug.times, f"{bug.file} has changed: mend this seeded bug"
        self._write(file, right.replace(bug.right, bug.wrong))
        try:
            return self.test("-x", bug.caught_by, reuse=not any(part in bug.file for part in SCHEMA))
        finally:
            self._write(file, right)

    def _write(self, file: Path, text: str) -> None:
        """Python compiles a module anew when its time or its size differs; within a second, neither may."""
        file.write_text(text)
        os.utime(file, times=(moment := next(self.moments), moment))

    def test(self, *words: str, reuse: bool, seconds: float = 300) -> Run:
        """A run of pytest; `reuse` is whether the database that is there fits the copy."""
        folder, own = self.folder, {}
        database = project_of(words[-1])
        if database != "seeded":
            folder, words = folder / ENGINE, tuple(word.removeprefix(ENGINE) for word in words)
            own = {"DJANGO_SETTINGS_MODULE": "project.settings", "PYTHONPATH": f"{self.folder}:{folder}"}
        if database == "extras":
            own["DATABASE"] = "extras"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        command += ["--reuse-db"] if reuse else ["--create-db"]
        # Under another name Django makes another test database, so that this run leaves the one around it alone.
        environment = os.environ | QUICKER | own | {"DATABASE_URL": _url(database if reuse else f"{database}_anew")}
        environment.pop("LOCKSTEP_TEST_SERVERS", None)
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("seeded") / "project"
    shutil.copytree(ROOT, folder, ignore=KEEP_OUT)
    with psycopg.connect(_url("postgres"), autocommit=True) as connection:
        if SERVERS:  # whose database `lockstep` is migrated; a server of the user's has it made by the first run
            connection.execute("CREATE DATABASE test_seeded TEMPLATE lockstep")
        yield Place(folder)
        for name in DATABASES:
            drop_database(connection, name)


# Each takes some seconds: these are a part of every run, and show that the others, of the long one, would be caught.
IN_EVERY_RUN = {
    "tokens that start anew with each lane",
    "an audit finds no difference",
    "a period that ends before it begins is an empty list",
    "adding a tag locks the product before the tag",
}
PARTS = [pytest.param(bug, marks=pytest.mark.slow if bug.name in IN_EVERY_RUN else pytest.mark.faults) for bug in BUGS]


@pytest.mark.parametrize("bug", PARTS, ids=lambda bug: bug.name)
def test_a_seeded_bug_is_caught(place: Place, bug: SeededBug):
    run = place.run(bug)
    assert run.returncode == FAILED, run.stdout[-3000:]
    # Where the bug is why there is no database to test with, or no test, nothing was caught.
    assert "1 failed" in run.stdout.splitlines()[-1], run.stdout[-3000:]


@pytest.mark.faults
@pytest.mark.timeout(1_800)
def test_what_catches_seeded_bugs_passes_without_them(place: Place):
    """What fails anyway catches nothing."""
    tests = sorted({bug.caught_by for bug in BUGS}, key=lambda test: (project_of(test), test))
    for _, these in groupby(tests, project_of):
        run = place.test(*these, reuse=True, seconds=1_800)
        assert run.returncode == PASSED, run.stdout[-10_000:]


def project_of(test: str) -> str:
    """What the test's database is called after: the project that it runs on."""
    if test.startswith(CONSOLE):
        return "extras"
    return "engine" if test.startswith(ENGINE) else "seeded"


def _url(database: str) -> str:
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl()
