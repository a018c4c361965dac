"""What the tests of this folder share. They need the programs of the development stack (kit/programs.py)."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from kit.servers import database_url
from kit.steps import Steps
from kit.workers import BackgroundWorker


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for PostgreSQL's data, which its account may pass through, also when we are root.

    Not below pytest's own, which each run of pytest by the same user closes to others again, under those that go on.
    """
    with TemporaryDirectory(prefix="lockstep-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def database(transactional_db: None) -> Iterator[psycopg.Connection]:
    """A connection of its own to the test database, as psql would have one."""
    with psycopg.connect(database_url(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def steps(database: psycopg.Connection) -> Iterator[Steps]:
    """The worker's statements, one by one; the project's own subscriptions are out of the way."""
    database.execute("DELETE FROM lockstep_subscription")
    with closing(Steps(database_url())) as steps:
        yield steps


@pytest.fixture
def worker(transactional_db: None) -> Iterator[BackgroundWorker]:
    """A worker that is not started yet; stopped at the end of the test."""
    worker = BackgroundWorker()
    yield worker
    worker.stop()
