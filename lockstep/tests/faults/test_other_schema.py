"""The tables in another schema, which the connection's search_path names: every process finds them there."""

from pathlib import Path

import psycopg
import pytest
from faults.articles import insert_article
from faults.processes import manage, working
from kit.servers import back_up, database_of, database_url
from kit.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.needs("linux"), pytest.mark.django_db(transaction=True)]

IN_A_LANE = "SELECT EXISTS (SELECT FROM elsewhere.lockstep_lane WHERE object_id = %s)"


def test_tables_that_were_moved_to_another_schema(home: Path):
    with back_up(database_url(), home / "postgres") as server:
        url = database_of(server, database_url())
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("ALTER SCHEMA public RENAME TO elsewhere")
            database.execute("CREATE SCHEMA public")
            for command in (["migrate", "--verbosity=0"], ["check", "--database=default"]):  # functions name the schema
                ran = manage(url, *command, DATABASE="schema")
                assert ran.returncode == 0, ran.stderr
            with working(url, home, DATABASE="schema") as worker:
                eventually(lambda: "worker ready" in worker.said, "the worker to be ready")
                database.execute("SET search_path = elsewhere")
                article = insert_article(database, "elsewhere")
                eventually(lambda: database.execute(IN_A_LANE, [article]).fetchone() == (True,), "a lane")
                assert "Traceback" not in worker.said
                assert worker.stop(60) == 0
            assert manage(url, "lockstep", "worker").stderr.strip().endswith("Run: manage.py migrate")
