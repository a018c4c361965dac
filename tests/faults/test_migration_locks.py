"""A migration that needs a table which another session has locked: writers go on, and it is done once that is free.

On a copy of the database, which is migrated back and forth by the command that operators run.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from devstack.launcher import template
from devstack.launcher.postgres import Server
from lockstep.delivery.tests.support import insert_post
from tests.acceptance.running import ROOT
from tests.support import WAIT_TIMEOUT, eventually

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

BACK = ("accounts", "0001")  # tables that refer to users are dropped, which needs the table of users alone
APPLIED = "SELECT max(name) FROM django_migrations WHERE app = 'accounts'"
WAITING = "0002_sessions"  # the migration whose tables refer to users; later ones are undone before it
LATEST = max(file.stem for file in (ROOT / "backend" / "accounts" / "migrations").glob("0*.py"))


@pytest.fixture
def url(home: Path) -> Iterator[str]:
    template.copy_to(home / "postgres")
    with Server(home / "postgres", durable=False) as server:
        yield server.url


@dataclass
class Migrate:
    """`python -m backend migrate`, and what it says."""

    url: str
    log: Path
    retry_seconds: float
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self, *words: str) -> "Migrate":
        settings = {"DATABASE_URL": self.url, "MIGRATION_LOCK_SECONDS": "0.2"}
        settings["MIGRATION_RETRY_SECONDS"] = str(self.retry_seconds)
        command = [sys.executable, "-m", "backend", "migrate", *words]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **settings}, stdout=output, stderr=output
            )
        return self

    @property
    def said(self) -> str:
        return self.log.read_text()

    def waits(self, pid: int) -> int:
        """How many times it has given way to others, and named this session as the reason."""
        assert self._process
        assert self._process.poll() is None, self.said
        return self.said.count(f"The migration waits for a lock: process {pid} (a report, ")

    def code(self) -> int:
        assert self._process
        return self._process.wait(WAIT_TIMEOUT)


@dataclass
class Writer:
    """Writes to the table of users, and posts, one statement after the other."""

    url: str
    written: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        thread = threading.Thread(target=self._write)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(WAIT_TIMEOUT)

    def _write(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as own:
            while not self._stop.wait(0.01):
                insert_post(own, "written meanwhile")
                own.execute("UPDATE accounts_user SET last_login = now()")
                self.written += 1

    def go_on(self) -> None:
        """Twenty more are written."""
        enough = self.written + 20
        eventually(lambda: self.written >= enough, "writers to go on")


@contextmanager
def report(url: str) -> Iterator[psycopg.Connection]:
    """A long transaction that has read the table, and may do so again."""
    with psycopg.connect(url, application_name="a report") as own:
        own.execute("SELECT count(*) FROM accounts_user")
        yield own


def applied(url: str) -> str:
    with psycopg.connect(url) as own:
        return str((own.execute(APPLIED).fetchone() or ("",))[0])


def test_writers_go_on_while_a_migration_waits_and_it_is_done_once_the_table_is_free(url: str, home: Path):
    migrate = Migrate(url, home / "migrate.log", retry_seconds=600)
    with Writer(url).writing() as writer, report(url) as held:
        migrate.start(*BACK)
        for times in (1, 3):
            eventually(lambda times=times: migrate.waits(held.info.backend_pid) >= times, "the migration to wait")
            writer.go_on()
        assert "role lockstep, in a transaction since 20" in migrate.said
        held.rollback()
        assert migrate.code() == 0, migrate.said
        writer.go_on()
    assert applied(url) == "0001_initial"
    assert migrate.start().code() == 0, migrate.said
    assert applied(url) == LATEST


def test_a_migration_that_never_gets_its_lock_ends_and_names_the_session_that_holds_it(url: str, home: Path):
    migrate = Migrate(url, home / "migrate.log", retry_seconds=1)
    with Writer(url).writing() as writer, report(url) as held:
        assert migrate.start(*BACK).code() == 1
        last = migrate.said.strip().splitlines()[-1].partition("CommandError: ")[2]
        holder = f"process {held.info.backend_pid} (a report, role lockstep, in a transaction since 20"
        assert last.startswith(f"The migration got no lock within 1 s and was not applied: {holder}"), migrate.said
        assert last.endswith("holds it. End that transaction, or wait for its end, and run migrate again.")
        writer.go_on()
    assert applied(url) == WAITING


def test_the_protection_of_tables_waits_in_the_same_way(url: str, home: Path):
    """It is what `migrate` does where no migration is left to be done."""
    with psycopg.connect(url, autocommit=True) as own:
        row = own.execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'posts_post'::regclass AND tgname ~ 'capture_insert'"
        ).fetchone()
        assert row
        own.execute(f"ALTER TABLE posts_post ENABLE TRIGGER {row[0]}")
    migrate = Migrate(url, home / "migrate.log", retry_seconds=600)
    with Writer(url).writing() as writer, psycopg.connect(url, application_name="a report") as held:
        held.execute("LOCK posts_post IN ROW EXCLUSIVE MODE")
        migrate.start()
        eventually(lambda: migrate.waits(held.info.backend_pid), "the migration to wait")
        writer.go_on()
        held.rollback()
        assert migrate.code() == 0, migrate.said
