"""The backend's tables in a schema of their own, which DATABASE_URL names: every process finds them there."""

from pathlib import Path

import psycopg
import pytest

from devstack.launcher import template
from devstack.launcher.postgres import Server
from tests.faults.processes import manage, working
from tests.support import eventually

pytestmark = [pytest.mark.faults, pytest.mark.needs("linux")]

INSERT = "INSERT INTO shop.posts_post (title, body) VALUES ('elsewhere', '') RETURNING id"
IN_A_LANE = "SELECT EXISTS (SELECT FROM shop.lockstep_lane WHERE object_id = %s)"


def test_tables_in_another_schema(home: Path):
    template.copy_to(home / "postgres")
    with (
        Server(home / "postgres", durable=False) as server,
        psycopg.connect(server.url, autocommit=True) as database,
    ):
        database.execute("ALTER SCHEMA public RENAME TO shop")
        database.execute("CREATE SCHEMA public")
        # pgtrigger has a place of its own for this one (PGTRIGGER_SCHEMA), whatever the search_path.
        database.execute("ALTER FUNCTION shop._pgtrigger_should_ignore SET SCHEMA public")
        url = f"{server.url}?options=-c%20search_path%3Dshop"
        for command in (["migrate", "--verbosity=0"], ["check", "--database=default"]):  # functions name the schema
            ran = manage(url, *command)
            assert ran.returncode == 0, ran.stderr
        with working(url, home) as worker:
            eventually(lambda: "worker ready" in worker.said, "the worker to be ready")
            database.execute("SET search_path = shop")
            row = database.execute(INSERT).fetchone()
            assert row
            eventually(lambda: database.execute(IN_A_LANE, [str(row[0])]).fetchone() == (True,), "a lane")
            assert "Traceback" not in worker.said
            assert worker.stop(60) == 0
        assert manage(server.url, "lockstep", "worker").stderr.strip().endswith("Run: manage.py migrate")
