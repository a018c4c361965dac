"""A database that is gone without a word: noticed, said, and mended without a person.

A proxy between a worker and PostgreSQL stops forwarding and goes on acknowledging.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from faults.articles import fanned_out, insert_article
from faults.processes import working
from kit.proxy import Proxy, proxy_to
from kit.servers import database_url
from kit.waiting import WAIT_TIMEOUT, eventually
from psycopg.conninfo import make_conninfo

from lockstep.delivery.heartbeat import worker_state

# lockstep/delivery/tests/test_availability.py has the short form.
pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]


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
        article = insert_article(database, "written meanwhile")
        if new:
            state = eventually(lambda: (s := worker_state()) != "ok" and s, "its row to tell")
            assert state.startswith("silent for ")
        eventually(lambda: "a connection to the database is closed: silent for" in worker.said, "the log to say so")
        proxy.thaw()
        eventually(lambda: fanned_out(database, article), "deliveries to go on")
        eventually(lambda: worker_state() == "ok", "its row to say that it goes on")
        assert "Traceback" not in worker.said
        assert worker.stop(WAIT_TIMEOUT) == 0


def test_a_worker_ends_in_time_while_its_database_is_gone_without_a_word(proxy: Proxy, tmp_path: Path):
    with working(proxied(proxy), tmp_path) as worker:
        eventually(lambda: worker_state() == "ok", "the worker to be ready")
        proxy.freeze()
        eventually(lambda: proxy.withheld, "the worker to be in the middle of a statement")
        worker.stop(WAIT_TIMEOUT)
        assert "Traceback" not in worker.said
