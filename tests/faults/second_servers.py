"""Databases that are older than the one they stand for: copies of the test server, and dumps in other clusters."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from devstack.launcher import cluster
from devstack.launcher.postgres import Server
from tests.acceptance.running import ROOT
from tests.support import eventually, superuser_url


def back_up(url: str, folder: Path) -> Server:
    """A base backup of the server, as it is at this moment, that is not started yet. Its superuser makes it."""
    command = [cluster.program("pg_basebackup"), f"--dbname={superuser_url(url)}", f"--pgdata={folder}"]
    subprocess.run([*command, "--checkpoint=fast", "--no-sync"], check=True)
    return Server(folder, durable=False)


@contextmanager
def promoted(copy: Server) -> Iterator[Server]:
    """The copy as a replica that got nothing since, and is the primary now."""
    (copy.folder / "standby.signal").touch()
    with copy:
        promote(copy)
        yield copy


def promote(replica: Server) -> None:
    with psycopg.connect(superuser_url(replica.url), autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")
        eventually(lambda: connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,), "a promotion")


def database_of(server: Server, like: str) -> str:
    """The address, on this server, of the database that has the same name as the one at this address."""
    return make_conninfo(server.url, dbname=conninfo_to_dict(like)["dbname"])


def address(url: str) -> str:
    """The same address in the form of DATABASE_URL."""
    parts: dict[str, Any] = conninfo_to_dict(url)
    return "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**parts)


def manage(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`manage.py` with these words, on this database."""
    environment = {**os.environ, "DATABASE_URL": address(url)}
    command: Sequence[str] = [str(ROOT / ".venv/bin/python"), "manage.py", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
