"""/healthz, /readyz and /metrics."""

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client
from psycopg.errors import QueryCanceled

from lockstep.changes.database_errors import UnsuitableDatabase
from lockstep.rest import probes
from lockstep.rest.connections import _discard_broken
from lockstep.rest.figures import DatabaseMetrics
from tests.support import BackgroundWorker, Cast, eventually


@pytest.mark.django_db
def test_healthz_makes_no_query(client: Client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz/").status_code == 200


def test_readyz_waits_for_a_worker_in_development(client: Client, worker: BackgroundWorker, settings):
    settings.DEBUG = True
    answer = client.get("/readyz")
    assert answer.status_code == 503
    others = {"database": "ok", "migrations": "ok", "periodic": "ok", "mirrors": "ok"}
    assert answer.json() == {"worker": "none is running: manage.py lockstep worker"} | others
    worker.start()
    eventually(lambda: client.get("/readyz").status_code == 200)


def beat(database: psycopg.Connection, seconds_ago: float, complaint: str = "") -> None:
    database.execute(
        "INSERT INTO lockstep_workerheartbeat VALUES (gen_random_uuid(), now() - make_interval(secs => %s), %s)",
        [seconds_ago, complaint],
    )


@pytest.mark.parametrize(
    ("beats", "worker"),
    [
        ([], "none is running: manage.py lockstep worker"),
        ([(0, "")], "ok"),
        ([(0, ""), (0, "the relay has not moved for 12 s")], "ok"),
        ([(0, "the relay has not moved for 12 s"), (30, "")], "hangs: the relay has not moved for 12 s"),
        ([(30, ""), (50, "")], "silent for 30 s: see its log"),
        ([(300, "")], "none is running: manage.py lockstep worker"),
        (
            [(-3600, "")],
            "none is running: manage.py lockstep worker",
        ),  # it ended, and the clock was set back
    ],
)
def test_readyz_reports_the_state_of_workers(client: Client, database: psycopg.Connection, beats, worker: str):
    for one in beats:
        beat(database, *one)
    assert client.get("/readyz").json()["worker"] == worker


def test_a_connected_worker_without_heartbeats_is_not_ok(client: Client, database: psycopg.Connection):
    address = {**database.info.get_parameters(), "password": database.info.password}
    with psycopg.connect(**address | {"application_name": "lockstep-worker"}):
        assert client.get("/readyz").json()["worker"] == "none is running: manage.py lockstep worker"


def test_a_worker_that_ends_is_not_missed(client: Client, worker: BackgroundWorker):
    worker.start()
    eventually(lambda: client.get("/readyz").json()["worker"] == "ok")
    worker.stop()
    assert client.get("/readyz").json()["worker"] == "none is running: manage.py lockstep worker"


@pytest.fixture
def read_only(database: psycopg.Connection) -> Iterator[None]:
    """The test database takes no writes in sessions that begin now, as after a failover to a standby."""
    name = database.info.dbname
    database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    connection.close()
    yield
    database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    connection.close()


def test_a_database_that_is_read_only_serves_reads(transactional_db: None, cast: Cast, read_only: None, settings):
    settings.DEBUG, settings.SECURE_SSL_REDIRECT = False, False
    assert cast.owner.get("/api/v1/users/me/").status_code == 200
    answer = cast.owner.post("/fakeapi/v1/posts/create/", {"title": "t", "body": "b"})
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json"), answer.content
    assert answer["Retry-After"]
    assert "The database is read-only right now. Nothing was changed" in answer.json()["detail"]
    sign_in = Client().post("/auth/", {"username": "owner", "password": "owner-password"}, "application/json")
    assert (sign_in.status_code, "read-only" in sign_in.json()["detail"]) == (503, True)
    connection.close()  # which the web server does before the next request
    ready = Client().get("/readyz")
    assert (ready.status_code, ready.json()["database"]) == (200, "read-only")


def test_writes_continue_after_read_only_mode(
    transactional_db: None, cast: Cast, read_only: None, database: psycopg.Connection
):
    assert cast.owner.post("/fakeapi/v1/posts/create/", {"title": "t", "body": "b"}).status_code == 503
    database.execute(f"ALTER DATABASE {database.info.dbname} RESET default_transaction_read_only")
    answers = [cast.owner.post("/fakeapi/v1/posts/create/", {"title": "t", "body": "b"}) for _ in range(2)]
    assert answers[-1].status_code == 201  # the first may meet the session of before


def test_requests_and_probes_detect_the_end_of_read_only_mode(
    transactional_db: None, cast: Cast, read_only: None, database: psycopg.Connection, settings
):
    """Each connection of the web server refused one write with 503, and /readyz remained `read-only`."""
    settings.DEBUG, settings.SECURE_SSL_REDIRECT = False, False
    assert Client().get("/readyz").json()["database"] == "read-only"
    database.execute(f"ALTER DATABASE {database.info.dbname} RESET default_transaction_read_only")
    _discard_broken()  # as before each request
    session = connection.connection
    assert Client().get("/readyz").json()["database"] == "ok"
    assert cast.owner.post("/fakeapi/v1/posts/create/", {"title": "t", "body": "b"}).status_code == 201
    kept = connection.connection
    _discard_broken()
    assert (session, connection.connection) == (None, kept)


@pytest.mark.django_db
def test_readyz_does_not_wait_for_a_worker_elsewhere(client: Client, settings):
    settings.DEBUG = False
    settings.SECURE_SSL_REDIRECT = False
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_readyz_names_late_periodic_work(client: Client, settings):
    settings.DEBUG = False
    settings.SECURE_SSL_REDIRECT = False
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO lockstep_periodictask VALUES ('order-expiry', now() - interval '1 hour')")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["periodic"]) == (200, "not done for too long: order-expiry")


def test_readyz_reports_an_unusable_database(client: Client, monkeypatch: pytest.MonkeyPatch, caplog):
    def refuse(recorder: object) -> None:
        raise UnsuitableDatabase("The role secret_name lacks rights.")

    monkeypatch.setattr("lockstep.rest.probes.MigrationRecorder.applied_migrations", refuse)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "cannot be used: see the log")
    assert "secret_name lacks rights" in caplog.text


@pytest.mark.django_db
def test_readyz_is_503_while_migrations_are_pending(client: Client):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'posts'")
    answer = client.get("/readyz/")
    assert answer.status_code == 503
    assert answer.json()["migrations"] == "pending: run manage.py migrate"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/healthz/", "/readyz/", "/metrics/"])
def test_probes_answer_over_plain_http_for_any_host(settings, path: str):
    settings.DEBUG, settings.SECURE_SSL_REDIRECT, settings.ALLOWED_HOSTS = False, True, ["shop.example"]
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_METRICS_TOKEN": "figures"}
    headers = {"host": "10.0.0.7:8000", "authorization": "Bearer figures"}
    assert Client().get(path, headers=headers).status_code == 200
    assert Client().get("/problems/", headers={"host": "shop.example"}).status_code == 301


@pytest.mark.django_db
def test_metrics_of_the_web_server_are_served_without_a_database(client: Client, monkeypatch, settings):
    def fail() -> bytes:
        raise OperationalError("gone")

    settings.DEBUG = True
    monkeypatch.setattr(probes, "database_metrics", DatabaseMetrics(fail))
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert b"lockstep_http_request_seconds_count" in answer.content
    assert b"lockstep_database_up 0\n" in answer.content
    assert b"lockstep_workers" not in answer.content


@pytest.mark.django_db
def test_metrics_report_that_the_database_is_up(client: Client, settings):
    settings.DEBUG = True
    content = client.get("/metrics").content
    assert (b"lockstep_database_up 1\n" in content, b"lockstep_workers{" in content) == (True, True)


NOTHING = DatabaseMetrics(bytes)._exposition()  # of a database that does not answer


@pytest.fixture
def patient(settings, transactional_db: None) -> None:
    """A scrape that waits for what it needs, and a database that the counting thread may connect to."""
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_PROBE_SECONDS": 60.0}


def test_during_a_slow_count_metrics_are_the_latest_with_their_age(patient: None):
    counted, free = SimpleQueue(), Event()
    metrics = DatabaseMetrics(lambda: counted.get_nowait() if counted.qsize() else free.wait(30) and b"new\n")
    counted.put(b"first\n")
    assert metrics.latest().startswith(b"first\n")
    later = metrics.latest()
    assert later.startswith(b"first\n")
    assert (b"lockstep_metrics_age_seconds" in later, b"lockstep_database_up 1" in later) == (True, True)
    free.set()
    eventually(lambda: metrics.latest().startswith(b"new\n"))


def test_a_first_count_that_takes_long_is_no_outage(transactional_db: None, settings):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_PROBE_SECONDS": 0.01}
    free = Event()
    metrics = DatabaseMetrics(lambda: b"%d" % free.wait(30))
    try:
        eventually(lambda: b"lockstep_database_up 1\n" in metrics.latest())
        assert b"lockstep_metrics_age_seconds" not in metrics.latest()
    finally:
        free.set()


def outcomes_of(*outcomes: bytes | Exception) -> DatabaseMetrics:
    """Counts with these outcomes, one after the other."""
    left = list(outcomes)

    def count() -> bytes:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return DatabaseMetrics(count)


def test_metrics_of_the_database_are_missing_while_it_is_down(patient: None):
    metrics = outcomes_of(b"first\n", OperationalError("gone"), b"second\n")
    assert metrics.latest().startswith(b"first\n")
    metrics._update()
    assert (b"first" in metrics._exposition(), b"lockstep_database_up 0" in metrics._exposition()) == (False, True)
    assert metrics.latest().startswith(b"second\n")


def test_an_outage_that_is_noticed_after_a_scrape_is_in_the_next_one(patient: None, settings):
    """Each scrape lost what the count before it met, and had the latest metrics for minutes."""
    fails, counted = Event(), SimpleQueue()
    counted.put(b"first\n")

    def count() -> bytes:
        if counted.qsize():
            return counted.get_nowait()
        fails.wait(30)
        fails.clear()
        raise OperationalError("gone")

    metrics = DatabaseMetrics(count)
    assert metrics.latest().startswith(b"first\n")
    assert metrics.latest().startswith(b"first\n")  # while the next count waits for an answer
    fails.set()
    assert metrics._running is not None
    metrics._running.result(30)
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_PROBE_SECONDS": 0.01}
    assert b"first" not in metrics.latest()
    fails.set()


def test_a_statement_that_was_given_up_or_has_no_table_is_no_outage(patient: None):
    given_up = OperationalError("canceling statement due to statement timeout")
    given_up.__cause__ = QueryCanceled()
    metrics = outcomes_of(given_up, ProgrammingError("no such table"))
    for _ in range(2):
        assert metrics.latest().endswith(b"\nlockstep_database_up 1\n")


def test_a_database_that_refuses_this_server_is_down(patient: None, monkeypatch: pytest.MonkeyPatch):
    metrics = outcomes_of(b"never\n", b"never\n")

    def refuse(connection: object) -> None:
        raise UnsuitableDatabase("The database refuses the connection.")

    with monkeypatch.context() as patched:
        patched.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", refuse)
        assert metrics.latest().endswith(b"\nlockstep_database_up 0\n")


def test_a_bug_in_a_count_is_not_taken_for_an_outage(patient: None):
    with pytest.raises(LookupError):
        outcomes_of(LookupError()).latest()


def test_metrics_are_counted_again_after_the_database_was_restarted(patient: None, database: psycopg.Connection):
    def count() -> bytes:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return b"%d\n" % cursor.fetchone()[0]

    metrics = DatabaseMetrics(count)
    first = metrics.latest().split(b"\n")[0]
    database.execute("SELECT pg_terminate_backend(%s, 30000)", [int(first)])
    eventually(lambda: metrics.latest().split(b"\n")[0] not in (first, NOTHING.split(b"\n")[0]))
