"""A worker and its database: what passes is waited for, what does not ends the worker with a sentence."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import django.db
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from psycopg import errors
from psycopg_pool import PoolTimeout

from conftest import database_url
from lockstep.changes import connecting
from lockstep.changes.connecting import WatchedAsyncConnection
from lockstep.changes.database_errors import (
    UnsuitableDatabase,
    explanation,
    is_outage,
    is_stale,
    is_transient,
    unsuitable,
)
from lockstep.changes.pooling import require_suitable
from lockstep.delivery import availability
from lockstep.delivery.availability import Availability, ReadOnly
from lockstep.delivery.heartbeat import Heartbeat
from lockstep.delivery.subscriptions import Claim, Subscriber
from lockstep.delivery.tests.support import Steps, insert_post, subscriber
from lockstep.delivery.waiting import Signal
from lockstep.delivery.worker import Worker
from lockstep.rest.connections import refuse_unsuitable_database
from lockstep.tests.kit.proxy import proxy_to
from tests.support import BackgroundWorker, another_role, eventually


@pytest.fixture
def database_settings(transactional_db: None) -> Iterator[dict[str, Any]]:
    """The settings of the database, for a test to change: every connection that is made then has them."""
    given: dict[str, Any] = connections["default"].settings_dict
    before, options = dict(given), dict(given["OPTIONS"])
    yield given
    given.update(before)
    given["OPTIONS"] = options
    connection.close()


REFUSALS = [
    ({"PASSWORD": "wrong"}, "password authentication failed"),
    ({"NAME": "no_such_database"}, 'database "no_such_database" does not exist'),
    ({"USER": "no_such_role"}, "authentication failed"),
    ({"OPTIONS": {"service": "no_such_service"}}, 'definition of service "no_such_service" not found'),
    ({"OPTIONS": {"no_such_parameter": "1"}}, "no_such_parameter"),
    ({"OPTIONS": {"sslmode": "verify-full", "sslrootcert": "/nowhere/root.pem"}}, "does not support SSL"),
    ({"OPTIONS": {"options": "-c search_path=pg_catalog"}}, "Run: manage.py migrate"),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSALS)
def test_a_permanent_error_ends_the_worker_with_a_sentence(
    database_settings: dict[str, Any], change: dict[str, Any], sentence: str
):
    database_settings.update(change)
    with pytest.raises(CommandError) as ended:
        call_command("lockstep", "worker")
    assert sentence in str(ended.value)
    assert ended.value.returncode == 1
    assert "\n" not in str(ended.value)


def test_a_role_without_rights_ends_the_worker_with_a_sentence(database_settings: dict[str, Any]):
    with another_role(database_url(), "without_rights", "LOGIN PASSWORD 'secret'"):
        database_settings.update({"USER": "without_rights", "PASSWORD": "secret"})
        with pytest.raises(CommandError, match=r"The role lacks rights in the database \(permission denied for table"):
            call_command("lockstep", "worker")


@pytest.mark.parametrize(("change", "sentence"), REFUSALS)
def test_a_permanent_error_is_the_same_sentence_for_every_command(
    database_settings: dict[str, Any], change: dict[str, Any], sentence: str
):
    connection.close()
    database_settings.update(change)
    with pytest.raises(django.db.Error) as refused:
        call_command("lockstep", "status")
    said = explanation(refused.value)
    assert said
    assert sentence in said
    assert ("Mend DATABASES" in said) == ("manage.py migrate" not in said)
    assert "\n" not in said


@pytest.mark.parametrize(("change", "sentence"), REFUSALS[:-1])
def test_a_permanent_error_ends_the_start_of_the_web_server_with_a_sentence(
    database_settings: dict[str, Any], change: dict[str, Any], sentence: str
):
    connection.close()
    database_settings.update(change)
    with pytest.raises(UnsuitableDatabase, match="Mend DATABASES") as refused:
        refuse_unsuitable_database()
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"),
            "The database is read-only",
        ),
        (errors.InsufficientPrivilege("permission denied for table posts_post"), "The role lacks rights"),
        (errors.UndefinedColumn("column x does not exist"), "Run: manage.py migrate"),
        (errors.UndefinedObject("type x does not exist"), "Run: manage.py migrate"),
        (errors.DiskFull("No space left on device"), "could not do this now"),
        (errors.ConnectionTimeout("connection timeout expired"), "The database does not answer"),
        (psycopg.InterfaceError("the connection is closed"), "The database does not answer"),
    ],
)
def test_an_error_of_the_database_is_a_sentence_for_the_user_of_a_command(error: psycopg.Error, sentence: str):
    wrapped = django.db.DatabaseError("of Django")
    wrapped.__cause__ = error
    assert explanation(error) == explanation(wrapped)
    said = explanation(error) or ""
    assert sentence in said
    assert str(error) in said


@pytest.mark.parametrize("mistake", [errors.UniqueViolation("duplicate key"), psycopg.ProgrammingError("missing")])
def test_a_bug_has_no_explanation(mistake: psycopg.Error):
    assert explanation(mistake) is None


def test_an_older_postgresql_is_refused():
    class PGconn:
        server_version = 150018

    class Old:
        pgconn = PGconn()

    with pytest.raises(UnsuitableDatabase, match=r"PostgreSQL 16 or newer is needed, and this is 15\."):
        require_suitable(Old())


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError('connection failed: connection to server at "127.0.0.1" failed: Connection refused'),
        psycopg.OperationalError("connection failed: FATAL:  the database system is starting up"),
        errors.ConnectionTimeout("connection timeout expired"),
        errors.AdminShutdown("terminating connection due to administrator command"),
        errors.TooManyConnections("sorry, too many clients already"),
        errors.DiskFull("could not extend file: No space left on device"),
        errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"),
        psycopg.InterfaceError("the connection is closed"),
        errors.InvalidSqlStatementName('prepared statement "_pg3_0" does not exist'),
        PoolTimeout("couldn't get a connection after 10.00 sec"),
        ReadOnly(),
    ],
)
def test_a_temporary_error_is_waited_for(error: Exception):
    assert is_transient(error)
    assert unsuitable(error) is None


@pytest.mark.parametrize("kind", [django.db.OperationalError, django.db.InterfaceError, django.db.DatabaseError])
def test_a_temporary_error_is_recognised_by_its_cause(kind: type[Exception]):
    error = kind("of Django")
    error.__cause__ = psycopg.InterfaceError("the connection is closed")
    assert is_transient(error)
    assert is_outage(error)
    error.__cause__ = errors.QueryCanceled("canceling statement due to statement timeout")
    assert is_transient(error)
    assert not is_outage(error)


def test_a_wrong_password_does_not_pass(database: psycopg.Connection):
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(**database.info.get_parameters(), password="wrong")
    assert isinstance(unsuitable(refused.value), UnsuitableDatabase)


@pytest.mark.parametrize(
    "address",
    [
        "hosst=127.0.0.1",
        "host=127.0.0.1 port",
        "postgresql://127.0.0.1/?hosst=1",
        "host=127.0.0.1 port=65536",
        "host=127.0.0.1 sslmode=sometimes",
        "host=127.0.0.1 connect_timeout=soon",
        "service=nowhere",
    ],
)
def test_an_address_that_cannot_be_read_does_not_pass(address: str):
    with pytest.raises(psycopg.Error) as refused:
        psycopg.connect(address)
    assert isinstance(unsuitable(refused.value), UnsuitableDatabase)


def test_a_statement_without_its_parameters_does_not_blame_the_address(database: psycopg.Connection):
    with pytest.raises(psycopg.ProgrammingError) as mistake:
        database.execute("SELECT %(missing)s", {})
    assert unsuitable(mistake.value) is None
    assert not is_transient(mistake.value)


def test_a_bug_is_not_waited_for():
    assert not is_transient(ValueError("a mistake"))
    assert not is_stale(errors.UniqueViolation("duplicate key"))


def test_a_reason_to_wait_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(availability, "RECOVERY_SECONDS", 0.001)
    problems = [OSError("refused")] * 3 + [OSError("starting up")] * 2

    def attempt() -> None:
        if problems:
            raise psycopg.OperationalError(str(problems.pop(0)))

    async def wait() -> None:
        available = Availability(Signal(), attempt)
        await asyncio.gather(*(available.wait(psycopg.OperationalError("refused")) for _ in range(4)))

    with caplog.at_level(logging.INFO):
        asyncio.run(wait())
    said = [record.message for record in caplog.records if record.name == availability.logger.name]
    *waits, end = said
    assert waits == [f"the database cannot be used, trying again: {why}" for why in ("refused", "starting up")]
    assert end.startswith("the database can be used again")


@pytest.mark.slow
def test_a_worker_waits_while_the_database_is_read_only(
    worker: BackgroundWorker, database: psycopg.Connection, steps: Steps, caplog: pytest.LogCaptureFixture
):
    titles: list[str] = []

    async def handler(claim: Claim) -> None:
        titles.append((claim.change.after or {})["title"])

    worker.subscribers = [subscriber(handler=handler)]
    worker.start()
    eventually(lambda: is_alive(database), "the worker's subscription")
    insert_post(database, "before")
    eventually(lambda: titles == ["before"])
    name = database.info.dbname
    with caplog.at_level(logging.WARNING):
        database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            sever(database)
            eventually(lambda: "trying again: the database is read-only" in caplog.text, "the log to say so")
        finally:
            database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    insert_post(database, "afterwards")
    eventually(lambda: titles == ["before", "afterwards"])
    assert "Traceback" not in caplog.text


def is_alive(database: psycopg.Connection) -> bool:
    """Whether a worker has begun."""
    return database.execute("SELECT count(*) FROM lockstep_workerheartbeat").fetchone() == (1,)


def sever(database: psycopg.Connection) -> None:
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'lockstep-worker'"
    database.execute(end)


@pytest.mark.slow
def test_a_worker_goes_on_after_its_connections_died_without_a_word(
    worker: BackgroundWorker, database: psycopg.Connection, steps: Steps, database_settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    monkeypatch.setattr(WatchedAsyncConnection, "silent_seconds", 0.3)
    monkeypatch.setattr(connecting, "GRACE_SECONDS", 0.2)
    titles: list[str] = []

    async def handler(claim: Claim) -> None:
        titles.append((claim.change.after or {})["title"])

    with proxy_to(database.info.port) as proxy:
        database_settings["PORT"] = proxy.port
        worker.subscribers = [subscriber(handler=handler)]
        worker.start()
        eventually(lambda: is_alive(database), "the worker's subscription")
        insert_post(database, "before")
        eventually(lambda: titles == ["before"])
        proxy.freeze(new=False)
        insert_post(database, "meanwhile")
        eventually(lambda: titles == ["before", "meanwhile"])
        assert "a connection to the database is closed: silent for" in caplog.text
        worker.stop()


def test_a_worker_goes_on_after_a_column_was_altered(
    worker: BackgroundWorker, database: psycopg.Connection, steps: Steps, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    titles: list[str] = []

    async def handler(claim: Claim) -> None:
        titles.append((claim.change.after or {})["title"])

    monkeypatch.setattr(Subscriber, "lease", property(lambda self: 1.0))  # a claim whose change could not be read
    worker.subscribers = [subscriber(handler=handler, deadline=0.5)]
    worker.start()
    eventually(lambda: is_alive(database), "the worker's subscription")
    for title in ("a", "b"):
        insert_post(database, title)
        eventually(lambda title=title: title in titles)
    database.execute("ALTER TABLE lockstep_change ALTER COLUMN trace TYPE varchar(1000)")
    try:
        insert_post(database, "c")
        eventually(lambda: "c" in titles)
    finally:
        database.execute("ALTER TABLE lockstep_change ALTER COLUMN trace TYPE text")
    insert_post(database, "d")
    eventually(lambda: "d" in titles)
    assert "Traceback" not in caplog.text


def test_a_heartbeat_names_the_parts_that_do_not_move(caplog: pytest.LogCaptureFixture):
    now = 100.0
    heart = Heartbeat("the relay", "the due watch", clock=lambda: now)
    heart.log()
    assert (heart.complaint, caplog.text) == ("", "")
    now += 12
    heart.note("the due watch")
    assert heart.complaint == "the relay has not moved for 12 s"
    with caplog.at_level(logging.INFO):
        heart.log()
        heart.log()
        assert caplog.text.count("the worker hangs: the relay has not moved for 12 s") == 1
        heart.note("the relay")
        heart.log()
        assert "all parts of the worker move again" in caplog.text


def test_a_worker_that_waits_for_the_database_does_not_hang(caplog: pytest.LogCaptureFixture):
    now = 100.0
    answers = threading.Event()

    def attempt() -> None:
        answers.wait()

    worker = Worker([], [])
    worker.heartbeat = Heartbeat("the relay", clock=lambda: now)
    worker.availability = Availability(worker.stopping, attempt=attempt)

    async def outage() -> None:
        nonlocal now
        waiting = asyncio.create_task(worker.availability.wait())
        await asyncio.sleep(0)
        now += 60
        worker._report_hang()
        answers.set()
        await waiting
        worker._report_hang()
        assert caplog.text == ""
        now += 12
        worker._report_hang()
        assert "the worker hangs: the relay has not moved for 12 s" in caplog.text

    asyncio.run(outage())
