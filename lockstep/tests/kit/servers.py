"""Copies of the test server: each is a server of its own, or stands for one that is older than it was."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.db import connections
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from devstack.launcher import cluster
from devstack.launcher.postgres import Server

from .waiting import eventually


def back_up(url: str, folder: Path) -> Server:
    """A base backup of the server, as it is at this moment, that is not started yet. Its superuser makes it."""
    command = [str(cluster.program("pg_basebackup")), f"--dbname={superuser_url(url)}", f"--pgdata={folder}"]
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


def superuser_url(url: str) -> str:
    """The same database for a superuser, who makes roles; "" on a server of which the tests know none."""
    with psycopg.connect(url) as own:
        is_superuser = own.execute("SHOW is_superuser").fetchone() == ("on",)
        is_ours = own.execute("SELECT 1 FROM pg_roles WHERE oid = 10 AND rolname = %s", [cluster.SUPERUSER]).fetchone()
    if is_superuser:
        return url
    return psycopg.conninfo.make_conninfo(url, user=cluster.SUPERUSER) if is_ours else ""


def address(url: str) -> str:
    """A libpq address in the form of DATABASE_URL."""
    parts = conninfo_to_dict(url)
    password = f":{parts['password']}" if parts.get("password") else ""
    return f"postgresql://{parts['user']}{password}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def database_url() -> str:
    """The test database as a libpq address."""
    parameters = connections["default"].get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return psycopg.conninfo.make_conninfo(**{name: parameters[name] for name in names if parameters.get(name)})
