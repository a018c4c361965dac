"""pgbouncer in front of PostgreSQL: by session a worker works; by transaction it refuses, with a sentence."""

from pathlib import Path

import psycopg
import pytest
from faults.articles import fanned_out, insert_article
from faults.processes import manage, working
from kit.pooling import pgbouncer
from kit.servers import database_url
from kit.waiting import eventually

from lockstep.changes.connecting import WatchedConnection
from lockstep.changes.database_errors import UnsuitableDatabase
from lockstep.changes.pooling import require_suitable
from lockstep.delivery.heartbeat import worker_state

pytestmark = [pytest.mark.needs("pgbouncer"), pytest.mark.django_db(transaction=True)]

SENTENCE = "a pooler that gives each transaction another session"


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
def test_a_worker_refuses_pooling_by_transaction(home: Path):
    with pgbouncer(home, "transaction") as url:
        ended = manage(url, "lockstep", "worker")
        assert (ended.returncode, SENTENCE in ended.stderr, "Traceback" in ended.stderr) == (1, True, False), ended


@pytest.mark.faults
def test_pooling_by_session_serves_a_worker(home: Path, database: psycopg.Connection):
    with pgbouncer(home, "session") as url, working(url, home) as worker:
        eventually(lambda: worker_state() == "ok", "the worker to be ready")
        article = insert_article(database, "by hand")
        eventually(lambda: fanned_out(database, article), "the relay to see it")
        assert manage(url, "lockstep", "audit", "--no-outside").returncode == 0
        assert "Traceback" not in worker.said
        assert worker.stop(60) == 0
