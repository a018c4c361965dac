"""Peers that are gone without a word: noticed, said, and mended without a person.

A proxy between a process and PostgreSQL, or a receiver, stops forwarding and goes on acknowledging.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from backend.accounts.sessions import open_opaque
from conftest import database_url
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.delivery.tests.support import insert_post
from lockstep.tests.kit.proxy import Proxy, proxy_to
from tests.faults.processes import worker_state, working
from tests.strangers.serving import Server, serving
from tests.support import WAIT_TIMEOUT, Cast, database_address, eventually

# lockstep/delivery/tests/test_availability.py has the short form.
pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def proxy(transactional_db: None) -> Iterator[Proxy]:
    with psycopg.connect(database_url()) as own, proxy_to(own.info.port) as proxy:
        yield proxy


def test_a_receiver_that_is_gone_without_a_word_is_tried_again(
    proxy: Proxy, database: psycopg.Connection, tmp_path: Path
):
    """The provider's connections have a deadline of their own."""
    with StandIn(posts=0) as provider, proxy_to(urlsplit(provider.url).port or 0) as between:
        settings = {"POSTS_PROVIDER_URL": f"http://127.0.0.1:{between.port}", "POSTS_PROVIDER_DEADLINE": "1"}
        with working(database_address(), tmp_path, **settings) as worker:
            eventually(lambda: worker_state() == "ok", "the worker to be ready")
            insert_post(database, "before")
            eventually(lambda: len(provider.rows("posts")) == 1, "the first post")
            between.freeze()
            insert_post(database, "meanwhile")
            eventually(lambda: "no answer within 1 s" in worker.said, "the log to say so")
            between.thaw()
            eventually(lambda: len(provider.rows("posts")) == 2, "the second post")
            assert worker.stop(WAIT_TIMEOUT) == 0


def test_a_web_server_whose_database_is_gone_without_a_word_answers_and_goes_on(
    proxy: Proxy, cast: Cast, tmp_path: Path
):
    token = open_opaque(cast.owner.user)
    with (
        serving(tmp_path, DATABASE_URL=database_address(proxy.port), WEB_REQUESTS=2) as server,
        server.client(token) as client,
    ):
        assert client.get("/api/v1/users/me/").status_code == 200
        proxy.freeze()
        answers = [requested(server, token) for _ in range(4)]
        eventually(lambda: all(answer.status for answer in answers), "answers to requests that have no database")
        assert {answer.status for answer in answers} == {503}
        assert all(answer.retry_after for answer in answers)
        assert client.get("/readyz").json()["database"] == "does not answer"
        assert client.get("/healthz").status_code == 200
        assert "a connection to the database is closed: silent for" in server.log.read_text()
        proxy.thaw()
        eventually(lambda: client.get("/api/v1/users/me/").status_code == 200, "requests to be served again")
        eventually(lambda: client.get("/readyz").json()["database"] == "ok", "/readyz to notice")
        proxy.freeze()
        requested(server, token)  # and the server ends meanwhile, or `serving` fails


class Requested(threading.Thread):
    """A request, and the status of its answer once it is there."""

    def __init__(self, server: Server, token: str) -> None:
        super().__init__(daemon=True)
        self._server, self._token = server, token
        self.status, self.retry_after = 0, ""

    def run(self) -> None:
        with self._server.client(self._token) as client:
            try:
                answer = client.get("/api/v1/users/me/")
            except httpx.TransportError:
                return
        self.status, self.retry_after = answer.status_code, answer.headers.get("Retry-After", "")


def requested(server: Server, token: str) -> Requested:
    thread = Requested(server, token)
    thread.start()
    return thread
