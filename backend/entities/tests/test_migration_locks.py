"""What waits for a lock without a limit, whom it waits for in words, and what is not tried again."""

import threading

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection

from backend.entities.migration_locks import describe, limited, repeat_until_locked
from conftest import database_url
from tests.support import WAIT_TIMEOUT, eventually

INDEX = "CREATE INDEX CONCURRENTLY tried_concurrently ON posts_post (title)"
WAITED = """
    SELECT clock_timestamp() - query_start > interval '0.3 s' FROM pg_stat_activity
    WHERE query = %s AND wait_event_type = 'Lock'
"""


def limit() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return str(cursor.fetchone()[0])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MIGRATION_LOCK_SECONDS", 0.1)
    monkeypatch.setattr(settings, "MIGRATION_RETRY_SECONDS", 0)


def test_an_index_that_is_made_concurrently_waits_as_long_as_it_must(database: psycopg.Connection, short: None):
    """No writer waits behind it, and one that was given up would be there, and of no use."""
    failed: list[Exception] = []

    def make() -> None:
        try:
            with limited(connection), connection.cursor() as cursor:
                cursor.execute(INDEX)
                cursor.execute("SHOW lock_timeout")
                assert cursor.fetchone() == ("100ms",)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    maker = threading.Thread(target=make)
    with psycopg.connect(database_url()) as older:
        older.execute("LOCK posts_post IN ROW EXCLUSIVE MODE")
        maker.start()
        eventually(lambda: database.execute(WAITED, [INDEX]).fetchone() == (True,), "more than the limit")
    maker.join(WAIT_TIMEOUT)
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'tried_concurrently'::regclass"
    assert (failed, database.execute(valid).fetchone()) == ([], (True,))
    database.execute("DROP INDEX tried_concurrently")


@pytest.mark.django_db(transaction=True)
def test_another_error_of_the_database_is_not_tried_again_and_leaves_no_limit(short: None):
    tries = []

    def attempt() -> None:
        tries.append(limit())
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 1; SELECT pg_sleep(10)")

    with pytest.raises(OperationalError, match="statement timeout"):
        repeat_until_locked("default", attempt, tries.append)
    assert (tries, limit()) == (["100ms"], "0")
    with connection.cursor() as cursor:
        cursor.execute("RESET statement_timeout")


@pytest.mark.django_db
def test_within_a_transaction_of_the_caller_nothing_is_limited():
    assert repeat_until_locked("default", limit, print) == "0"


def test_a_blocker_in_words():
    assert describe((7, "psql", "ann", "2026-11-30 04:00:00 UTC")) == (
        "process 7 (psql, role ann, in a transaction since 2026-11-30 04:00:00 UTC)"
    )
    assert describe((7, "", "ann", None)) == "process 7 (no application_name, role ann, in a transaction since ?)"
    assert describe((0, None, None, None)) == "a prepared transaction (see pg_prepared_xacts)"
