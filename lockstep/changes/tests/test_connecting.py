"""Connections beside Django's: the same parameters, and waits that end when the peer is gone without a word."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from conftest import database_url
from lockstep.changes import connecting, wakeup
from lockstep.changes.connecting import WatchedAsyncConnection, WatchedConnection, connection_parameters
from lockstep.delivery.database import FOR_LANES, FOR_RELAY, open_pool
from lockstep.delivery.log_reader import open_log_reader
from lockstep.tests.kit.proxy import Proxy, proxy_to
from tests.support import another_role, eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is looked into at once."""
    for kind in (WatchedConnection, WatchedAsyncConnection):
        monkeypatch.setattr(kind, "silent_seconds", 0.2)
        monkeypatch.setattr(kind, "longest", 30.0)  # ends a test that would hang
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
    with open_log_reader() as follower:
        return follower._connection.execute(SHOW).fetchone()


def notifying() -> Any:
    """What a session of the commit notifier has, read where it would notify."""
    with WatchedConnection.connect(**connection_parameters() | wakeup.OWN) as own:
        own.begin({})
        own.execute(wakeup.NOTIFY, [wakeup.CHANNEL])
        assert own.execute("SHOW synchronous_commit").fetchone() == ("on",), "a pooler's session is kept as it was"
        return own.execute(SHOW).fetchone()


def in_django() -> Any:
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute(SHOW)
        return cursor.fetchone()


@pytest.mark.parametrize("ask", [in_a_pool(FOR_LANES), in_a_pool(FOR_RELAY), in_a_stream, notifying, in_django])
def test_options_of_the_database_hold_on_every_connection(options: dict[str, Any], ask: Callable[[], Any]):
    options["options"] = "-c search_path=pg_catalog,public -c work_mem=7MB"
    assert ask()[:2] == ("pg_catalog,public", "7MB")


def test_parameters_that_only_djangos_cursors_know_are_left_out(options: dict[str, Any]):
    options |= {"sslrootcert": "/certificates/root.pem", "target_session_attrs": "read-write", "passfile": "/pass"}
    options |= {"keepalives_idle": 60, "assume_role": "someuser", "isolation_level": 1, "server_side_binding": True}
    parameters = connection_parameters()
    assert parameters["sslrootcert"] == "/certificates/root.pem"
    assert parameters["target_session_attrs"] == "read-write"
    assert parameters["passfile"] == "/pass"
    assert (parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == (60, 10_000)
    psycopg.conninfo.make_conninfo(**{name: value for name, value in parameters.items() if name != "prepare_threshold"})


def test_a_service_file_is_read(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: psycopg.Connection
):
    """With the address and options that it has; what begins a session takes neither away."""
    info = database.info
    lines = ["[shop]", f"host={info.host}", f"port={info.port}", f"password={info.password}"]
    (tmp_path / "services").write_text("\n".join([*lines, "options=-c work_mem=7MB", "keepalives_idle=7"]))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    settings = connections["default"].settings_dict
    for name in ("HOST", "PORT", "PASSWORD"):
        monkeypatch.setitem(settings, name, "")
    options["service"] = "shop"
    assert in_a_pool(FOR_LANES)()[1] == "7MB"
    assert in_a_stream()[1] == "7MB"
    assert in_django()[1] == "7MB"


class Authority:
    """A certificate authority of the test's own, and what it has signed."""

    def __init__(self, folder: Path) -> None:
        self.root, self.key = folder / "root.pem", folder / "root.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=authority", "-keyout", self.key, "-out", self.root)  # fmt: skip

    def sign(self, name: str, host: str) -> tuple[Path, Path]:
        """Certificate and key."""
        certificate, key = self.root.with_name(f"{name}.pem"), self.root.with_name(f"{name}.key")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-CA", self.root,
                      "-addext", "basicConstraints=critical,CA:FALSE",
                      "-CAkey", self.key, "-keyout", key, "-out", certificate)  # fmt: skip
        key.chmod(0o600)
        return certificate, key

    def _openssl(self, *words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.mark.needs("openssl")
def test_client_and_server_certificates_are_verified(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A server with a certificate of our own authority, which requires client certificates."""
    authority = Authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.sign("server", "localhost"))
    tls.load_verify_locations(authority.root)
    tls.verify_mode = ssl.CERT_REQUIRED
    certificate, key = authority.sign("client", "lockstep")
    with proxy_to(int(connection_parameters()["port"]), tls) as proxy:
        settings = connections["default"].settings_dict
        monkeypatch.setitem(settings, "PORT", proxy.port)
        monkeypatch.setitem(settings, "HOST", "localhost")
        options |= {"sslmode": "verify-full", "sslcert": str(certificate), "sslkey": str(key)}
        options["sslrootcert"] = str(authority.root)
        connecting_ways = (in_a_pool(FOR_LANES), in_a_stream, notifying, in_django)
        assert all(connect() for connect in connecting_ways)
        options["sslrootcert"] = str(certificate)  # of another authority
        for connect in connecting_ways[1:]:
            with pytest.raises((psycopg.OperationalError, OperationalError), match="certificate verify failed"):
                connect()


def test_a_role_that_django_assumes_is_assumed_by_all(options: dict[str, Any]):
    with another_role(database_url(), "assumed"):
        options["assume_role"] = "assumed"
        with open_log_reader() as follower:
            assert follower._connection.execute("SELECT current_user::text").fetchone() == ("assumed",)


def test_a_connection_whose_peer_is_gone_is_closed(quick: None, proxy: Proxy, caplog: pytest.LogCaptureFixture):
    with WatchedConnection.connect(**through(proxy)) as one:
        one.execute("SELECT 1")
        proxy.freeze(new=False)
        with pytest.raises(psycopg.OperationalError, match="the server owes it no answer"):
            one.execute("SELECT 2")
        assert one.closed
    assert "a connection to the database is closed: silent for" in caplog.text


@pytest.mark.faults
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


HOLD = "SELECT pg_advisory_xact_lock(48)"


def within_a_transaction(one: psycopg.Connection[Any], proxy: Proxy) -> None:
    with one.transaction():
        lock_and_freeze(one, proxy)


def between_the_statements_of_a_pipeline(one: psycopg.Connection[Any], proxy: Proxy) -> None:
    """No limit of the server's ends this: it waits for the rest of the pipeline."""
    with one.pipeline():
        lock_and_freeze(one, proxy)


def lock_and_freeze(one: psycopg.Connection[Any], proxy: Proxy) -> None:
    one.execute(HOLD).fetchone()
    proxy.freeze(new=False)
    one.execute("SELECT 2").fetchone()


@pytest.mark.parametrize("hold", [within_a_transaction, between_the_statements_of_a_pipeline])
def test_locks_of_a_dead_connection_are_released(
    quick: None, proxy: Proxy, database: psycopg.Connection, hold: Callable[..., None]
):
    one = WatchedConnection.connect(**through(proxy))
    with pytest.raises(psycopg.OperationalError, match="the server owes it no answer"):
        hold(one, proxy)
    eventually(lambda: database.execute("SELECT pg_try_advisory_lock(48)").fetchone() == (True,), "the lock", 20)
    database.execute("SELECT pg_advisory_unlock(48)")


def test_locks_of_a_dead_asynchronous_connection_are_released(quick: None, proxy: Proxy, database: psycopg.Connection):
    async def hold() -> None:
        async with await WatchedAsyncConnection.connect(**through(proxy)) as one, one.transaction():
            await one.execute(HOLD)
            proxy.freeze(new=False)
            await one.execute("SELECT 2")

    with pytest.raises(psycopg.OperationalError, match="the server owes it no answer"):
        asyncio.run(hold())
    eventually(lambda: database.execute("SELECT pg_try_advisory_lock(48)").fetchone() == (True,), "the lock", 20)
    database.execute("SELECT pg_advisory_unlock(48)")


def test_a_lost_response_of_the_server_is_detected(quick: None, proxy: Proxy, database: psycopg.Connection):
    """The server has done its work meanwhile."""
    with WatchedConnection.connect(**through(proxy)) as one:
        database.execute("SELECT pg_advisory_lock(47)")
        lock = "SELECT pg_advisory_xact_lock(47)"

        def release() -> Any:
            proxy.freeze(new=False)
            database.execute("SELECT pg_advisory_unlock(47)")

        timer = threading.Timer(0.5, release)
        timer.start()
        with pytest.raises(psycopg.OperationalError, match="the connection to the database is dead: silent for"):
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
        with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.3 s"):
            one.execute("SELECT pg_sleep(30)")
