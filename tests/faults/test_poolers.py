"""pgbouncer in front of PostgreSQL: by session everything works; by transaction everything refuses, with a sentence."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from backend import web_server
from backend.accounts.sessions import open_opaque
from conftest import database_url
from lockstep.changes.connecting import WatchedConnection
from lockstep.changes.database_errors import UnsuitableDatabase
from lockstep.changes.pooling import require_suitable
from lockstep.delivery.tests.support import insert_post
from tests.acceptance.running import ROOT, free_port
from tests.faults.test_half_open import fanned_out, worker_state, working
from tests.strangers.serving import serving
from tests.support import Cast, eventually

pytestmark = [pytest.mark.needs("pgbouncer"), pytest.mark.django_db(transaction=True)]

SENTENCE = "DATABASE_URL leads to a pooler that gives each transaction another session"


@contextmanager
def pgbouncer(folder: Path, mode: str) -> Iterator[str]:
    """pgbouncer in this mode; the test database's address by way of it."""
    own = conninfo_to_dict(database_url())
    port, program = free_port(), shutil.which("pgbouncer")
    assert program
    folder.chmod(0o755)
    (folder / "users.txt").write_text(f'"{own["user"]}" "{own["password"]}"\n')
    (folder / "pgbouncer.ini").write_text(f"""
        [databases]
        * = host=127.0.0.1 port={own["port"]}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = plain
        auth_file = {folder}/users.txt
        pool_mode = {mode}
        default_pool_size = 60
    """)
    # As root it refuses to run; `home` lets another account pass.
    options: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "pgbouncer.ini")], stdout=log, stderr=log, **options)
    try:
        url = f"postgresql://{own['user']}:{own['password']}@127.0.0.1:{port}/{own['dbname']}"
        eventually(lambda: answers(url, process), "pgbouncer to answer")
        yield url
    finally:
        process.kill()
        process.wait()


def answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "pgbouncer ended; its log is in the test's folder"
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def manage(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    environment = os.environ | {"DATABASE_URL": url, "POSTS_PROVIDER_URL": "http://127.0.0.1:9"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def suitable(url: str) -> None:
    with WatchedConnection.connect(url, autocommit=True) as connection:
        connection.begin({})
        require_suitable(connection)


def test_pooling_by_transaction_is_found_out_and_by_session_is_not(home: Path):
    with pgbouncer(home, "transaction") as url, pytest.raises(UnsuitableDatabase, match=SENTENCE):
        suitable(url)
    with pgbouncer(home, "session") as url:
        suitable(url)
    suitable(database_url())


def test_pooling_by_transaction_is_found_out_beside_other_clients(home: Path):
    """Also where other clients take sessions in between."""
    with pgbouncer(home, "transaction") as url:
        others = [psycopg.connect(url) for _ in range(5)]
        for other in others:
            other.execute("SELECT 1")
        for other in others[::2]:
            other.rollback()
        with pytest.raises(UnsuitableDatabase, match=SENTENCE):
            suitable(url)
        for other in others:
            other.close()


@pytest.mark.faults
@pytest.mark.parametrize(
    "command", [["lockstep", "worker"], ["sync_with_fake_system", "--plan"], ["check", "--database=default"]]
)
def test_commands_refuse_pooling_by_transaction(home: Path, command: list[str]):
    with pgbouncer(home, "transaction") as url:
        ended = manage(url, *command)
        assert (ended.returncode, SENTENCE in ended.stderr, "Traceback" in ended.stderr) == (1, True, False), ended


@pytest.mark.faults
def test_the_web_server_refuses_pooling_by_transaction(home: Path):
    with pgbouncer(home, "transaction") as url:
        command = web_server.command(sys.executable, host="127.0.0.1", port=free_port(), workers=1)
        command.remove("--respawn-failed-workers")
        environment = os.environ | {"DATABASE_URL": url, "DEBUG": "true"}
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert ended.returncode != 0
        assert SENTENCE in ended.stderr + ended.stdout


@pytest.mark.faults
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
