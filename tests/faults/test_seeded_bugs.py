"""Each seeded bug, put into a copy of the project, makes the test fail that is there to catch it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.acceptance.running import ROOT
from tests.faults.seeded_bugs import BUGS, SeededBug

FAILED = 1  # pytest's exit code when tests ran and some failed; anything above is an error of another kind
KEEP_OUT = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "staticfiles")


SCHEMA = ("capture.sql", "schema.sql", "migrations/", "models.py")  # what a database is made of


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project, and one test database for all the bugs that change no schema: making it takes longer than a test."""
    folder = tmp_path_factory.mktemp("seeded") / "project"
    shutil.copytree(ROOT, folder, ignore=KEEP_OUT)
    yield folder
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS test_seeded WITH (FORCE)")


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_seeded_bug_is_caught(copy: Path, bug: SeededBug):
    file = copy / bug.file
    right = file.read_text()
    assert right.count(bug.right) == bug.times, f"{bug.file} has changed: mend this seeded bug"
    file.write_text(right.replace(bug.right, bug.wrong))
    try:
        run = _run(copy, bug.caught_by, reuse=not any(part in bug.file for part in SCHEMA))
    finally:
        file.write_text(right)
    assert run.returncode == FAILED, run.stdout[-3000:]


def _run(copy: Path, test: str, *, reuse: bool) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    command += ["--reuse-db"] if reuse else []
    # Under another name Django makes another test database, so that this run leaves the one around it alone.
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/seeded" if reuse else "/seeded_anew").geturl()
    environment = os.environ | {"DATABASE_URL": database, "PYTHONDONTWRITEBYTECODE": "1", "LOCKSTEP_TEST_PATIENCE": "6"}
    environment |= {"LOCKSTEP_NO_SHRINK": "1", "LOCKSTEP_SCHEDULES": "300"}  # that it fails is enough
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=120)
