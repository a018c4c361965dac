"""Each seeded bug, put into a copy of the project, makes the test fail that is there to catch it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.acceptance.running import ROOT
from tests.faults.seeded_bugs import BUGS, SeededBug

FAILED = 1  # pytest's exit code when tests ran and some failed; anything above is an error of another kind
AT_ONCE = 2
KEEP_OUT = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "staticfiles")
SCHEMA = (
    "capture.sql",
    "schema.sql",
    "folding.sql",
    "search.sql",
    "tags.sql",
    "changes/triggers.py",
    "migrations/",
    "models.py",
)  # what a database is made of
QUICKER = {"PYTHONDONTWRITEBYTECODE": "1", "LOCKSTEP_TEST_PATIENCE": "6"}
QUICKER |= {"LOCKSTEP_NO_SHRINK": "1", "LOCKSTEP_SCHEDULES": "300"}  # that it fails is enough

Run = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Place:
    """A copy of the project, and one test database for all bugs that change no schema: to make it takes long."""

    folder: Path
    database: str

    def run(self, bug: SeededBug) -> Run:
        """The run of the test that is there to catch it."""
        file = self.folder / bug.file
        right = file.read_text()
        assert right.count(bug.right) == bug.times, f"{bug.file} has changed: mend this seeded bug"
        file.write_text(right.replace(bug.right, bug.wrong))
        try:
            return self._run(bug.caught_by, reuse=not any(part in bug.file for part in SCHEMA))
        finally:
            file.write_text(right)

    def _run(self, test: str, *, reuse: bool) -> Run:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
        command += ["--reuse-db"] if reuse else []
        # Under another name Django makes another test database, so that this run leaves the one around it alone.
        name = self.database if reuse else f"{self.database}_anew"
        environment = os.environ | QUICKER | {"DATABASE_URL": _url(name)}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """The runs of all bugs that were asked for, two at a time."""
    places: Queue[Place] = Queue()
    for number in range(AT_ONCE):
        folder = tmp_path_factory.mktemp("seeded") / "project"
        shutil.copytree(ROOT, folder, ignore=KEEP_OUT)
        places.put(Place(folder, f"seeded_{number}"))

    def run(bug: SeededBug) -> Run:
        place = places.get()
        try:
            return place.run(bug)
        finally:
            places.put(place)

    asked = [item.callspec.params["bug"] for item in request.session.items if item.module is request.module]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {bug.name: pool.submit(run, bug) for bug in asked}
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        for number in range(AT_ONCE):
            connection.execute(f"DROP DATABASE IF EXISTS test_seeded_{number} WITH (FORCE)")


# Each takes some seconds: every fifth is a part of every run, and the others are of the long one.
PARTS = [pytest.param(bug, marks=pytest.mark.slow if n % 5 == 0 else pytest.mark.faults) for n, bug in enumerate(BUGS)]


@pytest.mark.parametrize("bug", PARTS, ids=lambda bug: bug.name)
def test_a_seeded_bug_is_caught(runs: dict[str, Future[Run]], bug: SeededBug):
    run = runs[bug.name].result()
    assert run.returncode == FAILED, run.stdout[-3000:]


def _url(database: str) -> str:
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl()
