"""Web and worker run as a role that owns nothing, with the rights that `migrate` gives it; the log is only read."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import ProgrammingError, connection
from psycopg import sql

from backend.posts.mirror import JSONPLACEHOLDER
from conftest import database_url
from lockstep.changes import checks
from lockstep.changes.models import LoggedChange
from lockstep.changes.protection import secure
from lockstep.delivery.database import open_pool
from lockstep.delivery.partitions import drop_old_partitions, make_partitions
from lockstep.mirror.collection_sql import statements
from lockstep.mirror.importing import _claim_numbers
from lockstep.tests.project.databases import drop_database
from tests.acceptance.running import ROOT
from tests.support import BackgroundWorker, Cast, eventually, superuser_url

pytestmark = pytest.mark.slow

ROLE = "lockstep_web"
OLD_WEEK = """
    CREATE TABLE lockstep_change_20200106 PARTITION OF lockstep_change
    FOR VALUES FROM ('2020-01-06Z') TO ('2020-01-13Z');
"""


@pytest.fixture
def application_role(cast: Cast, transactional_db: None) -> Iterator[str]:
    """Django, and what it starts, connect as it; yields the address of the owner."""
    owner = database_url()
    if not (superuser := superuser_url(owner)):
        pytest.skip("roles are made by a superuser")
    password = secrets.token_urlsafe(8)
    with psycopg.connect(superuser, autocommit=True) as made:
        if not made.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
            made.execute(f"CREATE ROLE {ROLE} LOGIN")
        made.execute(sql.SQL(f"ALTER ROLE {ROLE} PASSWORD {{}}").format(password))
    settings.LOCKSTEP["APPLICATION_ROLE"] = ROLE
    secure()
    before = {name: connection.settings_dict[name] for name in ("USER", "PASSWORD")}
    connect_as(USER=ROLE, PASSWORD=password)
    yield owner
    connect_as(**before)
    settings.LOCKSTEP["APPLICATION_ROLE"] = ""
    with psycopg.connect(superuser, autocommit=True) as made:
        made.execute(f"DROP OWNED BY {ROLE}")


def connect_as(**who: str) -> None:
    connection.close()
    connection.settings_dict.update(who)


def test_requests_and_deliveries_need_no_more_than_it_has(
    application_role: str, cast: Cast, settings: Any, worker: BackgroundWorker
):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user::text")
        assert cursor.fetchone() == (ROLE,)
    product = cast.owner.post("/api/v1/products/", {"name": "a thing", "price": "1.00", "stock": 10})
    assert product.status_code == 201, product.content
    made = cast.owner.post("/api/v1/orders/", {"lines": [{"product": product.json()["id"], "quantity": 2}]})
    assert made.status_code == 201, made.content
    assert cast.colleague.post("/api/v1/defects/", {"comment": "it squeaks"}).status_code == 201
    endpoint = cast.colleague.post("/api/v1/webhooks/", {"url": "https://example.com/", "events": ["*"]}).json()["id"]
    assert cast.colleague.post(f"/api/v1/webhooks/{endpoint}/test/", {}).status_code == 202
    assert cast.owner.delete_account().status_code == 204
    worker.start()
    with psycopg.connect(application_role, autocommit=True) as owner:
        eventually(lambda: owner.execute("SELECT count(*) FROM shop_pendingvocabulary").fetchone() == (0,))
    assert LoggedChange.objects.filter(model="shop.product", kind="deleted").exists()


def test_log_is_kept_and_dropped_by_the_worker(application_role: str):
    with psycopg.connect(application_role, autocommit=True) as owner:
        owner.execute(OLD_WEEK)
        owner.execute("DELETE FROM lockstep_subscription")

    async def upkeep() -> list[str]:
        async with open_pool(size=1) as pool:
            await make_partitions(pool)
            return await drop_old_partitions(pool)

    assert asyncio.run(upkeep()) == ["lockstep_change_20200106"]


def test_an_import_moves_numbers_on(application_role: str):
    async def move() -> None:
        async with open_pool(size=1) as pool:
            for collection in JSONPLACEHOLDER.collections:
                await _claim_numbers(pool, statements(JSONPLACEHOLDER, collection), 5_000)

    asyncio.run(move())


def test_nothing_is_sent_in_the_name_of_a_captured_model(application_role: str):
    with connection.cursor() as cursor, pytest.raises(ProgrammingError, match="only its triggers write its changes"):
        cursor.execute("SELECT lockstep_send('shop.product', 'x', '{}', 'webhooks')")


def test_check_is_clean(application_role: str):
    assert checks.capture_is_in_force(["default"]) == []
    assert checks.role_does_not_own_the_log(["default"]) == []


def test_rights_of_before_do_not_outlive_the_next_migrate(cast: Cast, application_role: str, settings: Any):
    with psycopg.connect(application_role, autocommit=True) as owner:
        owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}; GRANT ALL ON lockstep_change_seq TO {ROLE}")
    settings.LOCKSTEP["APPLICATION_ROLE"] = ROLE
    found = {message.id for message in checks.capture_is_in_force(["default"])}
    assert found == {"lockstep.E012", "lockstep.E015"}
    as_owner = psycopg.conninfo.conninfo_to_dict(application_role)
    connect_as(USER=str(as_owner["user"]), PASSWORD=str(as_owner["password"]))
    call_command("migrate", verbosity=0, skip_checks=False)
    assert checks.capture_is_in_force(["default"]) == []


@pytest.mark.faults
def test_tables_of_another_schema_are_as_safe():
    """The functions look where the tables are, which need not be `public`."""
    name = "lockstep_elsewhere"
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    with psycopg.connect(database_url(), autocommit=True) as owner:
        owner.execute(f"DROP DATABASE IF EXISTS {name}")
        owner.execute(f"CREATE DATABASE {name}")
        try:
            with psycopg.connect(url, autocommit=True) as made:
                made.execute(f'CREATE SCHEMA "The App"; ALTER DATABASE {name} SET search_path = "The App"')
            for command in (
                ["migrate", "--verbosity=0"],
                ["check", "--database=default"],
                ["migrate", "--verbosity=0"],
            ):
                ran = subprocess.run(
                    [sys.executable, "manage.py", *command],
                    cwd=ROOT,
                    env={**os.environ, "DATABASE_URL": url},
                    capture_output=True,
                    text=True,
                )
                assert ran.returncode == 0, ran.stderr
            with psycopg.connect(url, autocommit=True) as writer:
                writer.execute("SET search_path = ''")
                writer.execute("""CREATE TEMP TABLE lockstep_change (LIKE "The App".lockstep_change)""")
                writer.execute("""INSERT INTO "The App".posts_post (title, body) VALUES ('a', '')""")
                writer.execute("""SELECT "The App".lockstep_make_partitions(6)""")
                found = writer.execute("""SELECT count(*) FROM "The App".lockstep_change""").fetchone()
                assert found == (1,)
        finally:
            drop_database(owner, name)
