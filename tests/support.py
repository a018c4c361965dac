"""What tests are written with."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import psycopg
import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from backend.accounts.models import Session, Token, User
from backend.accounts.sessions import EVERYTHING, new_secret
from devstack.launcher.cluster import SUPERUSER
from lockstep.delivery.housekeeping import UPKEEP
from lockstep.delivery.subscriptions import Family, Subscriber, registered, registered_families
from lockstep.delivery.worker import Worker

T = TypeVar("T")

APPEND_ONLY = ("shop_movement", "lockstep_change")
MADE_BY_MIGRATIONS = {"django_migrations", "django_content_type", "auth_permission"}
# Seconds until a test gives up waiting for something that should happen at once: they end what hangs, and assert
# nothing. A busy machine may need many; seeded bugs are given up sooner.
WAIT_TIMEOUT = float(os.environ.get("LOCKSTEP_TEST_PATIENCE", "120"))


@dataclass(frozen=True)
class Person:
    """A user of the cast: an account and a client that sends its bearer token."""

    user: User
    client: Client

    @classmethod
    def make(cls, name: str, *, staff: bool = False) -> "Person":
        return signed_in(name, staff={name} if staff else ())[0]

    def post(self, path: str, body: object) -> Any:
        return self.client.post(path, body, content_type="application/json")

    def put(self, path: str, body: object) -> Any:
        return self.client.put(path, body, content_type="application/json")

    def get(self, path: str) -> Any:
        return self.client.get(path)

    def delete(self, path: str, body: object = None) -> Any:
        return self.client.delete(path, body, content_type="application/json") if body else self.client.delete(path)

    def delete_account(self) -> Any:
        return self.delete("/api/v1/users/me/", {"password": f"{self.user.username}-password"})


def signed_in(*names: str, staff: Collection[str] = ()) -> list[Person]:
    """New accounts, each with a session, in three statements and without a form: most tests begin here."""
    users = User.objects.bulk_create(
        User(
            username=name,
            password=make_password(f"{name}-password"),
            is_staff=name in staff,
            is_superuser=name in staff,
        )
        for name in names
    )
    expires = timezone.now() + timedelta(days=7)
    sessions = Session.objects.bulk_create(Session(user=user, scope=EVERYTHING, expires=expires) for user in users)
    secrets = [new_secret() for _ in users]
    Token.objects.bulk_create(
        Token(digest=Token.digest_of(secret), session=session, kind=Token.Kind.ACCESS, expires=expires)
        for session, secret in zip(sessions, secrets, strict=True)
    )
    return [
        Person(user, Client(headers={"authorization": f"Bearer {secret}"}, raise_request_exception=False))
        for user, secret in zip(users, secrets, strict=True)
    ]


@dataclass(frozen=True)
class Cast:
    """The same four people in every test."""

    owner: Person
    colleague: Person
    outsider: Person
    staff: Person

    @classmethod
    def make(cls) -> "Cast":
        return cls(*signed_in("owner", "colleague", "outsider", "staff", staff={"staff"}))


@contextmanager
def without_triggers(cursor: Any, *tables: str) -> Iterator[None]:
    """No trigger of these tables fires, which their owner can have. The caller has a transaction around it."""
    for table in tables:
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for table in tables:
        names = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
        found = cursor.execute(names, [table]) or cursor  # Django's cursor returns nothing
        enabling = ", ".join(f"ENABLE ALWAYS TRIGGER {name}" for (name,) in found.fetchall())
        cursor.execute(f"ALTER TABLE {table} {enabling}")


@cache
def tables() -> list[str]:
    """Those of all models, which no test changes."""
    return sorted(
        set(connection.introspection.django_table_names(include_views=False)) - MADE_BY_MIGRATIONS - set(APPEND_ONLY)
    )


def empty_tables() -> None:
    """What Django does after a test that commits, in a tenth of the time: it truncates, and migrates every app anew.

    Ledger and log refuse to lose a row: their triggers are off meanwhile. Subscriptions begin with the migration of
    `delivery`.
    """
    deletions = [f'DELETE FROM "{table}"' for table in tables()]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(";".join(deletions))
        for table in APPEND_ONLY:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")
            if cursor.fetchone() == (True,):
                with without_triggers(cursor, table):
                    cursor.execute(f"DELETE FROM {table}")
        for subscriber in registered():
            cursor.execute(UPKEEP["declare_subscription"], subscriber.row)


def draw_large_numbers() -> None:
    """Objects that a test gives a small number of its own meet none that a sequence draws."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(sequencename::regclass, 10000) FROM pg_sequences WHERE sequencename ~ '_number$'")


@dataclass
class BackgroundWorker:
    """A worker on a thread of its own with its own event loop."""

    subscribers: Sequence[Subscriber] | None = None
    families: Sequence[Family] = ()
    schedule: tuple[float, ...] | None = None  # seconds before the nth attempt, of all subscribers; None: their own
    _worker: Worker | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _ready: threading.Event = field(default_factory=threading.Event)

    def start(self) -> "BackgroundWorker":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_TIMEOUT)
        return self

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        subscribers = registered() if self.subscribers is None else self.subscribers
        families = registered_families() if self.subscribers is None else self.families
        if self.schedule is not None:
            subscribers = [replace(subscriber, schedule=self.schedule) for subscriber in subscribers]
        self._worker = Worker(subscribers, families)
        self._ready.set()
        await self._worker.run()

    def stop(self) -> None:
        if self._thread and self._loop and self._worker:
            self._loop.call_soon_threadsafe(self._worker.stopping.set)
            self._thread.join(WAIT_TIMEOUT)
            assert not self._thread.is_alive(), "the worker did not stop"
            self._thread = None


def eventually(look: Callable[[], T], what: str = "", patience: float = WAIT_TIMEOUT) -> T:
    """Waits until `look` gives something true and returns it; fails with the last thing that it gave."""
    until = time.monotonic() + patience
    while not (seen := look()):
        assert time.monotonic() < until, f"waited {patience:g} s for {what or look}; last seen: {seen!r}"
        time.sleep(0.02)
    return seen


def superuser_url(url: str) -> str:
    """The same database for a superuser, who makes roles; "" on a server of which the tests know none."""
    with psycopg.connect(url) as own:
        is_superuser = own.execute("SHOW is_superuser").fetchone() == ("on",)
        is_ours = own.execute("SELECT 1 FROM pg_roles WHERE oid = 10 AND rolname = %s", [SUPERUSER]).fetchone()
    if is_superuser:
        return url
    return psycopg.conninfo.make_conninfo(url, user=SUPERUSER) if is_ours else ""


@contextmanager
def another_role(own: str, name: str, options: str = "") -> Iterator[None]:
    """A role of which that of the URL `own` is a member. Skips where the tests know no superuser, who makes it."""
    if not (superuser := superuser_url(own)):
        pytest.skip("roles are made by a superuser")
    with psycopg.connect(superuser, autocommit=True) as made:
        made.execute(f"CREATE ROLE {name} {options}")
        try:
            made.execute(f"GRANT {name} TO {psycopg.conninfo.conninfo_to_dict(own)['user']}")
            yield
        finally:
            made.execute(f"DROP ROLE {name}")


def any_lock_waiter(connection: psycopg.Connection) -> bool:
    """Whether any session waits for a lock. Unlike pg_stat_activity, pg_locks is read anew within a transaction."""
    return connection.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetchone() == (True,)


def drained(connection: psycopg.Connection) -> bool:
    """Whether every change is fanned out and nothing waits in any lane."""
    behind = """
        SELECT EXISTS (SELECT FROM lockstep_lane)
            OR EXISTS (SELECT FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
                       CROSS JOIN LATERAL lockstep_unplaced(place))
    """
    row = connection.execute(behind).fetchone()
    return row is not None and not row[0]
