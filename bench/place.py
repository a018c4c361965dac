"""Where the bench runs: a database of its own, with the settings that production has."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from devstack.launcher.postgres import Server

Connection = psycopg.Connection[tuple[Any, ...]]

# PostgreSQL's manual advises a quarter of the memory: this holds a million products, the default of 128 MB does not.
PRODUCTION = {"shared_buffers": "1GB"}
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


class NotDurable(Exception):
    """The server may lose what it committed: its figures would say nothing about a production server."""


@dataclass(frozen=True)
class Place:
    """A migrated, empty database and a folder for files. `scale` shrinks the amounts of data.

    `server` is the one that was started for it, if it was.
    """

    url: str
    folder: Path
    scale: float
    server: Server | None = None

    def scaled(self, count: int) -> int:
        """So many of something, at this scale."""
        return max(round(count * self.scale), 10)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Every statement commits by itself."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection

    def chill(self) -> None:
        """Restarts our server with nothing of its data in memory, neither in its own nor in the system's."""
        assert self.server  # a server that is not ours is never restarted
        self.server.stop()
        for path in self.server.folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.server.start()


@contextmanager
def open_place(scale: float) -> Iterator[Place]:
    """Our own durable server, or a new database on the server that DATABASE_URL names; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="lockstep-bench-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through it when we are root
    try:
        if address := os.environ.get("DATABASE_URL"):
            with _own_database(address) as url:
                yield _entered(Place(url, folder, scale))
        else:
            with Server(folder / "postgres", durable=True, settings=PRODUCTION) as server:
                yield _entered(Place(server.url, folder, scale, server))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _own_database(server: str) -> Iterator[str]:
    """The bench empties tables: it must never do so in a database in use."""
    name = f"lockstep_bench_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            # WITH (FORCE) is refused while autovacuum, which is a superuser's, is at work there.
            own_sessions = "FROM pg_stat_activity WHERE datname = %s AND usename = current_user"
            connection.execute(f"SELECT pg_terminate_backend(pid) {own_sessions}", [name])
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def _entered(place: Place) -> Place:
    """The place, migrated, with Django set up for it. DEBUG stays off: it would record every statement."""
    os.environ |= {
        "DATABASE_URL": place.url,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "127.0.0.1",
        "DEBUG": "false",
        "DJANGO_SETTINGS_MODULE": "backend.config.settings",
        "LOCKSTEP_HOME": str(place.folder),  # nothing of a running system's may reach us
        "STATIC_ROOT": str(place.folder / "static"),
    }
    import django
    from django.core.management import call_command

    django.setup()
    _require_durable(place)
    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)  # a web server does not start without
    return place


def _require_durable(place: Place) -> None:
    with place.connection() as connection:
        off = [name for name in DURABLE if setting(connection, name) == "off"]
    if off:
        raise NotDurable(f"The server of DATABASE_URL runs with {', '.join(off)} off; the bench needs it durable.")


def setting(connection: Connection, name: str) -> str:
    """A setting of the server."""
    ((value,),) = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchall()
    return str(value)
