"""pgbouncer under the backend: by session it works; by transaction it refuses, with a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from backend import web_server
from backend.accounts.sessions import open_opaque
from lockstep.delivery.tests.support import insert_post
from lockstep.tests.kit.pooling import pgbouncer
from tests.acceptance.running import ROOT, free_port
from tests.faults.processes import fanned_out, manage, worker_state, working
from tests.strangers.serving import serving
from tests.support import Cast, eventually

pytestmark = [pytest.mark.faults, pytest.mark.needs("pgbouncer"), pytest.mark.django_db(transaction=True)]

SENTENCE = "a pooler that gives each transaction another session"


@pytest.mark.parametrize("command", [["sync_with_fake_system", "--plan"], ["check", "--database=default"]])
def test_commands_refuse_pooling_by_transaction(home: Path, command: list[str]):
    with pgbouncer(home, "transaction") as url:
        ended = manage(url, *command)
        assert (ended.returncode, SENTENCE in ended.stderr, "Traceback" in ended.stderr) == (1, True, False), ended


def test_the_web_server_refuses_pooling_by_transaction(home: Path):
    with pgbouncer(home, "transaction") as url:
        command = web_server.command(sys.executable, host="127.0.0.1", port=free_port(), workers=1)
        command.remove("--respawn-failed-workers")
        environment = os.environ | {"DATABASE_URL": url, "DEBUG": "true"}
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert ended.returncode != 0
        assert SENTENCE in ended.stderr + ended.stdout


def test_pooling_by_session_serves_everything(home: Path, cast: Cast, database: psycopg.Connection):
    token = open_opaque(cast.owner.user)
    with pgbouncer(home, "session") as url, working(url, home) as worker:
        eventually(lambda: worker_state() == "ok", "the worker to be ready")
        with serving(home, DATABASE_URL=url) as server, server.client(token) as client:
            body = {"title": "t", "body": "b"}
            for _ in range(5):
                assert client.post("/fakeapi/v1/posts/create/", json=body).status_code == 201
                assert client.get("/api/v1/users/me/").status_code == 200
        post = insert_post(database, "by hand")
        eventually(lambda: fanned_out(database, post), "the relay to see it")
        assert manage(url, "lockstep", "audit", "--no-outside").returncode == 0
        assert "Traceback" not in worker.said
        assert worker.stop(60) == 0
