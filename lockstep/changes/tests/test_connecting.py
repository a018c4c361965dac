"""Connections beside Django's: the same parameters, and waits that end when the peer is gone without a word."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from lockstep.changes import connecting
from lockstep.changes.connecting import WatchedAsyncConnection, WatchedConnection, connection_parameters
from lockstep.delivery.database import FOR_LANES, FOR_RELAY, open_pool
from lockstep.delivery.following import following
from tests.proxy import Proxy, proxy_to

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is looked into at once."""
    for kind in (WatchedConnection, WatchedAsyncConnection):
        monkeypatch.setattr(kind, "silent_seconds", 0.2)
    monkeypatch.setattr(connecting, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(connecting, "GRACE_SECONDS", 0.1)


@pytest.fixture
def options(transactional_db: None) -> Iterator[dict[str, Any]]:
    """OPTIONS of the database, for a test to change."""
    given = connections["default"].settings_dict["OPTIONS"]
    before = dict(given)
    yield given
    given.clear()
    given.update(before)
    connection.close()


@pytest.fixture
def proxy(transactional_db: None) -> Iterator[Proxy]:
    with proxy_to(int(connection_parameters()["port"])) as proxy:
        yield proxy


def through(proxy: Proxy) -> dict[str, Any]:
    return connection_parameters() | {"port": proxy.port, "autocommit": True}


SHOW = "SELECT current_setting('search_path'), current_setting('work_mem'), current_setting('application_name')"


def in_a_pool(settings: dict[str, str]) -> Callable[[], Any]:
    async def ask() -> Any:
        async with open_pool(1, settings) as pool, pool.connection() as one:
            cursor = await one.execute(SHOW)
            return await cursor.fetchone()

    return lambda: asyncio.run(ask())


def in_a_stream() -> Any:
    with following() as follower:
        return follower._connection.execute(SHOW).fetchone()


def in_django() -> Any:
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute(SHOW)
        return cursor.fetchone()


@pytest.mark.parametrize("ask", [in_a_pool(FOR_LANES), in_a_pool(FOR_RELAY), in_a_stream, in_django])
def test_options_of_the_database_hold_on_every_connection(options: dict[str, Any], ask: Callable[[], Any]):
    options["options"] = "-c search_path=pg_catalog,public -c work_mem=7MB"
    assert ask()[:2] == ("pg_catalog,public", "7MB")


def test_parameters_that_only_djangos_cursors_know_are_left_out(options: dict[str, Any]):
    options |= {"sslrootcert": "/certificates/root.pem", "target_session_attrs": "read-write", "passfile": "/pass"}
    options |= {"keepalives_idle": 60, "assume_role": "somebody", "isolation_level": 1, "server_side_binding": True}
    parameters = connection_parameters()
    assert parameters["sslrootcert"] == "/certificates/root.pem"
    assert parameters["target_session_attrs"] == "read-write"
    assert parameters["passfile"] == "/pass"
    assert (parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == (60, 10_000)
    psycopg.conninfo.make_conninfo(**{name: value for name, value in parameters.items() if name != "prepare_threshold"})


def test_a_role_that_django_assumes_is_assumed_by_all(options: dict[str, Any], database: psycopg.Connection):
    database.execute("CREATE ROLE assumed")
    try:
        options["assume_role"] = "assumed"
        with following() as follower:
            assert follower._connection.execute("SELECT current_user::text").fetchone() == ("assumed",)
    finally:
        database.execute("DROP ROLE assumed")


def test_a_connection_whose_peer_is_gone_is_closed(quick: None, proxy: Proxy, caplog: pytest.LogCaptureFixture):
    with WatchedConnection.connect(**through(proxy)) as one:
        one.execute("SELECT 1")
        proxy.freeze(new=False)
        with pytest.raises(psycopg.OperationalError, match="the server owes it no answer"):
            one.execute("SELECT 2")
        assert one.closed
    assert "a connection to the database is closed: silent for" in caplog.text


def test_a_connection_whose_peer_is_gone_altogether_is_closed(quick: None, proxy: Proxy):
    with WatchedConnection.connect(**through(proxy)) as one:
        proxy.freeze()
        with pytest.raises(psycopg.OperationalError, match="does not answer on another connection either"):
            one.execute("SELECT 2")


def test_an_asynchronous_connection_whose_peer_is_gone_is_closed(quick: None, proxy: Proxy):
    async def ask() -> None:
        async with await WatchedAsyncConnection.connect(**through(proxy)) as one:
            await one.execute("SELECT 1")
            proxy.freeze(new=False)
            with pytest.raises(psycopg.OperationalError, match="the server owes it no answer"):
                await one.execute("SELECT 2")

    asyncio.run(ask())


def test_an_answer_that_is_lost_on_its_way_is_noticed(quick: None, proxy: Proxy, database: psycopg.Connection):
    """The server has done its work meanwhile."""
    with WatchedConnection.connect(**through(proxy)) as one:
        database.execute("SELECT pg_advisory_lock(47)")
        lock = "SELECT pg_advisory_xact_lock(47)"

        def release() -> Any:
            proxy.freeze(new=False)
            database.execute("SELECT pg_advisory_unlock(47)")

        timer = threading.Timer(0.5, release)
        timer.start()
        with pytest.raises(psycopg.OperationalError, match="the server owes it no answer"):
            one.execute(lock)
        timer.join()


def test_a_statement_that_takes_long_is_waited_for(quick: None, proxy: Proxy):
    async def ask() -> Any:
        async with await WatchedAsyncConnection.connect(**through(proxy)) as one:
            return await (await one.execute("SELECT pg_sleep(1.2), 3")).fetchone()

    with WatchedConnection.connect(**through(proxy)) as one:
        assert one.execute("SELECT pg_sleep(1.2), 2").fetchone() == ("", 2)
    assert asyncio.run(ask()) == ("", 3)


def test_a_connection_that_listens_is_silent_by_nature(quick: None, proxy: Proxy, database: psycopg.Connection):
    with WatchedConnection.connect(**through(proxy)) as one:
        one.execute("LISTEN quiet")
        assert list(one.notifies(timeout=1.0)) == []
        database.execute("NOTIFY quiet")
        assert len(list(one.notifies(timeout=30.0, stop_after=1))) == 1


def test_a_wait_may_have_a_limit_of_its_own(quick: None, proxy: Proxy):
    with WatchedConnection.connect(**through(proxy)) as one:
        one.longest = 0.3
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.3 s"):
            one.execute("SELECT pg_sleep(30)")
        assert time.monotonic() - began < 20
