"""A database that is gone without a word: noticed within seconds, said, and mended without a person.

A proxy between a worker and PostgreSQL stops forwarding and goes on acknowledging.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from faults.articles import fanned_out, insert_article
from faults.processes import working
from kit.proxy import Proxy, proxy_to
from kit.servers import database_url
from kit.waiting import eventually
from psycopg.conninfo import make_conninfo

from lockstep.delivery.heartbeat import worker_state

# lockstep/delivery/tests/test_availability.py has the short form.
pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

NOTICED = 15.0  # seconds: the promise
STOPPED = 10.0
SLACK = 4.0  # how many times as long a machine that does much else may take


@pytest.fixture
def proxy(transactional_db: None) -> Iterator[Proxy]:
    with psycopg.connect(database_url()) as own, proxy_to(own.info.port) as proxy:
        yield proxy


def proxied(proxy: Proxy) -> str:
    """The test database's address, by way of the proxy."""
    return make_conninfo(database_url(), host="127.0.0.1", port=proxy.port)


@pytest.mark.parametrize("new", [True, False], ids=["all", "present"])
def test_a_worker_whose_database_is_gone_without_a_word_says_so_and_goes_on(
    proxy: Proxy, database: psycopg.Connection, tmp_path: Path, new: bool
):
    with working(proxied(proxy), tmp_path) as worker:
        eventually(lambda: worker_state() == "ok", "the worker to be ready")
        proxy.freeze(new=new)
        frozen = time.monotonic()
        article = insert_article(database, "written meanwhile")
        if new:
            state = eventually(lambda: (s := worker_state()) != "ok" and s, "its row to tell")
            assert state.startswith("silent for ")
            assert time.monotonic() - frozen < NOTICED * SLACK
        eventually(lambda: "a connection to the database is closed: silent for" in worker.said, "the log to say so")
        assert time.monotonic() - frozen < NOTICED * SLACK
        proxy.thaw()
        eventually(lambda: fanned_out(database, article), "deliveries to go on")
        eventually(lambda: worker_state() == "ok", "its row to say that it goes on")
        assert "Traceback" not in worker.said
        assert worker.stop(STOPPED * SLACK) == 0


def test_a_worker_ends_in_time_while_its_database_is_gone_without_a_word(proxy: Proxy, tmp_path: Path):
    with working(proxied(proxy), tmp_path) as worker:
        eventually(lambda: worker_state() == "ok", "the worker to be ready")
        proxy.freeze()
        time.sleep(1.0)  # in the middle of its statements
        began = time.monotonic()
        worker.stop(STOPPED * SLACK)
        assert time.monotonic() - began < STOPPED * SLACK
        assert "Traceback" not in worker.said
