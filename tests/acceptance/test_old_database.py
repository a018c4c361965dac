"""The database of a development version before 0.1.0: `migrate` and `make run` say what to do, and leave it alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from conftest import database_url
from lockstep.tests.project.databases import drop_database
from tests.acceptance.running import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def old() -> Iterator[str]:
    """The address of a database with the first rows of such a history."""
    name = f"lockstep_old_{uuid4().hex}"
    with psycopg.connect(database_url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        with psycopg.connect(url) as made:
            made.execute("CREATE TABLE django_migrations (id serial, app text, name text, applied timestamptz)")
            made.execute("INSERT INTO django_migrations (app, name) VALUES ('changes', '0001_change_log')")
        yield url
        drop_database(connection, name)


@pytest.mark.parametrize("command", [["manage.py", "migrate"], ["-m", "backend.prepare"]], ids=" ".join)
def test_an_old_database_is_refused_in_a_sentence(old: str, command: list[str]):
    environment = {**os.environ, "DATABASE_URL": old}
    ran = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "A development version before 0.1.0 cannot be upgraded" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    with psycopg.connect(old) as connection:
        assert connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == [
            ("django_migrations",)
        ]
