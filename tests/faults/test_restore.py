"""A dump restored into a younger cluster: refused, shown, begun anew; nothing that was committed is passed over."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from conftest import database_url
from lockstep.delivery.tests.support import Steps, insert_post, rename_post, subscriber
from lockstep.launcher import cluster
from lockstep.launcher.postgres import Server
from tests.acceptance.running import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]


@pytest.fixture
def younger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty database in a cluster of its own."""
    folder = tmp_path_factory.mktemp("younger")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # PostgreSQL's account passes through when we are root
    with Server(folder / "postgres", durable=False) as server:
        yield server.url


def manage(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": url}
    command = [str(ROOT / ".venv/bin/python"), "manage.py", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def restore(source: str, target: str, folder: Path) -> None:
    dump = folder / "dump"
    subprocess.run([cluster.program("pg_dump"), "--format=custom", f"--file={dump}", source], check=True)
    subprocess.run([cluster.program("pg_restore"), "--no-owner", f"--dbname={target}", dump], check=True)


def test_a_restored_dump_is_refused_until_a_new_epoch_begins(
    steps: Steps, database: psycopg.Connection, younger: str, tmp_path: Path
):
    who = subscriber()
    steps.declare(who)
    for _ in range(2_000):  # the old cluster has come further than the younger one will have
        database.execute("SELECT pg_current_xact_id()")
    database.execute(
        "INSERT INTO delivery_epoch (system_identifier) SELECT system_identifier::text FROM pg_control_system()"
    )
    post = insert_post(database, "delivered")
    steps.fan_out()
    steps.settle(*steps.claim(who))
    rename_post(database, post, "in a lane")
    steps.fan_out()
    rename_post(database, post, "behind")
    restore(database_url(), younger, tmp_path)

    refused = manage(younger, "worker")
    assert (refused.returncode, "delivery new-epoch" in refused.stderr) == (1, True), refused.stderr
    with psycopg.connect(younger, autocommit=True) as connection:
        rename_post(connection, post, "written since")
    assert "test: changes to send: 2" in manage(younger, "delivery", "new-epoch", "--plan").stdout
    begun = manage(younger, "delivery", "new-epoch")
    assert begun.returncode == 0, begun.stderr
    with closing(Steps(younger)) as there:
        titles = []
        while claims := there.claim(who):
            titles += [claim.change.after["title"] for claim in claims]
            there.settle(*claims)
        assert titles == ["in a lane", "behind", "written since"]
        assert there.behind() == []
    assert "posts.post: rows = log" in manage(younger, "delivery", "audit", "--no-outside").stdout
