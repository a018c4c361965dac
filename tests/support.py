"""What tests are written with."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import psycopg
import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection, connections, transaction
from django.test import Client
from django.utils import timezone
from psycopg.conninfo import make_conninfo
from uuid_utils.compat import uuid7

from backend.accounts.models import Token, User
from backend.accounts.sessions import EVERYTHING, new_secret
from lockstep.install import declare_subscriptions

# Those that the engine's own tests have as well.
from lockstep.tests.kit.log import drained as drained
from lockstep.tests.kit.log import without_triggers as without_triggers
from lockstep.tests.kit.servers import address, database_url
from lockstep.tests.kit.servers import superuser_url as superuser_url
from lockstep.tests.kit.waiting import WAIT_TIMEOUT as WAIT_TIMEOUT
from lockstep.tests.kit.waiting import eventually as eventually
from lockstep.tests.kit.workers import BackgroundWorker as BackgroundWorker

T = TypeVar("T")
R = TypeVar("R")

APPEND_ONLY = ("shop_movement", "lockstep_change")
MADE_BY_MIGRATIONS = {"django_migrations", "django_content_type", "auth_permission"}


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


# Accounts with a session and an access token each, in one round trip; the rows of the accounts are its result.
SIGNED_IN = """
    WITH given AS (
        SELECT * FROM unnest(%(users)s::uuid[], %(names)s::text[], %(passwords)s::text[], %(staff)s::boolean[],
                             %(sessions)s::uuid[], %(digests)s::bytea[])
            AS given (user_id, username, password, is_staff, session_id, digest)
    ), session AS (
        INSERT INTO accounts_session (id, user_id, scope, expires)
        SELECT session_id, user_id, %(scope)s, %(expires)s FROM given
    ), token AS (
        INSERT INTO accounts_token (digest, session_id, kind, expires)
        SELECT digest, session_id, %(kind)s, %(expires)s FROM given
    )
    INSERT INTO accounts_user (id, username, password, is_staff, is_superuser, is_active,
                               first_name, last_name, email, date_joined)
    SELECT user_id, username, password, is_staff, is_staff, true, '', '', '', %(joined)s FROM given
    RETURNING *
"""


def signed_in(*names: str, staff: Collection[str] = ()) -> list[Person]:
    """New accounts, each with a session, in one statement and without a form: most tests begin here."""
    joined, secrets = timezone.now(), [new_secret() for _ in names]
    values = {
        "users": [uuid7() for _ in names],
        "names": list(names),
        "passwords": [make_password(f"{name}-password") for name in names],
        "staff": [name in staff for name in names],
        "sessions": [uuid7() for _ in names],
        "digests": [Token.digest_of(secret) for secret in secrets],
        "scope": EVERYTHING,
        "kind": Token.Kind.ACCESS.value,
        "joined": joined,
        "expires": joined + timedelta(days=7),
    }
    return [
        Person(user, Client(headers={"authorization": f"Bearer {secret}"}, raise_request_exception=False))
        for user, secret in zip(User.objects.raw(SIGNED_IN, values), secrets, strict=True)
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


@cache
def tables() -> list[str]:
    """Those of all models, which no test changes."""
    return sorted(
        set(connection.introspection.django_table_names(include_views=False)) - MADE_BY_MIGRATIONS - set(APPEND_ONLY)
    )


def empty_tables() -> None:
    """What Django does after a test that commits, in a tenth of the time: it truncates, and migrates every app anew.

    Ledger and log refuse to lose a row: their triggers are off meanwhile. Subscriptions are declared as by `migrate`.
    """
    deletions = [f'DELETE FROM "{table}"' for table in tables()]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(";".join(deletions))
        for table in APPEND_ONLY:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {table})")
            if cursor.fetchone() == (True,):
                with without_triggers(cursor, table):
                    cursor.execute(f"DELETE FROM {table}")
        declare_subscriptions(connection)


def draw_large_numbers() -> None:
    """Objects that a test gives a small number of its own meet none that a sequence draws."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(sequencename::regclass, 10000) FROM pg_sequences WHERE sequencename ~ '_number$'")


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


def in_threads(threads: int, work: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """The results in any order. Each thread has one connection, as in the web server: opening one costs more."""

    def share(n: int) -> list[R]:
        try:
            return [work(thing) for thing in things[n::threads]]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return [result for results in pool.map(share, range(threads)) for result in results]


def database_address(port: int | None = None) -> str:
    """The test database as DATABASE_URL, for another process; by way of a proxy at this port of the machine."""
    by_way = {"host": "127.0.0.1", "port": str(port)} if port else {}
    return address(make_conninfo(database_url(), **by_way))


def any_lock_waiter(connection: psycopg.Connection) -> bool:
    """Whether any session waits for a lock. Unlike pg_stat_activity, pg_locks is read anew within a transaction."""
    return connection.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetchone() == (True,)
