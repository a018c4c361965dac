"""/healthz and /readyz."""

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client

from lockstep.api.connections import _leave_what_is_of_no_use
from lockstep.api.figures import FiguresLate, LatestFigures
from lockstep.changes.database_errors import UnsuitableDatabase
from tests.support import BackgroundWorker, Cast, eventually


@pytest.mark.django_db
def test_healthz_asks_nothing(client: Client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz/").status_code == 200


def test_readyz_waits_for_a_worker_in_development(client: Client, worker: BackgroundWorker, settings):
    settings.DEBUG = True
    answer = client.get("/readyz")
    assert answer.status_code == 503
    others = {"database": "ok", "migrations": "ok", "periodic": "ok", "mirrors": "ok"}
    assert answer.json() == {"worker": "none is running: manage.py worker"} | others
    worker.start()
    eventually(lambda: client.get("/readyz").status_code == 200)


def beat(database: psycopg.Connection, seconds_ago: float, complaint: str = "") -> None:
    database.execute(
        "INSERT INTO delivery_workerheartbeat VALUES (gen_random_uuid(), now() - make_interval(secs => %s), %s)",
        [seconds_ago, complaint],
    )


@pytest.mark.parametrize(
    ("beats", "worker"),
    [
        ([], "none is running: manage.py worker"),
        ([(0, "")], "ok"),
        ([(0, ""), (0, "the relay has not moved for 12 s")], "ok"),
        ([(0, "the relay has not moved for 12 s"), (30, "")], "hangs: the relay has not moved for 12 s"),
        ([(30, ""), (50, "")], "silent for 30 s: see its log"),
        ([(300, "")], "none is running: manage.py worker"),
        ([(-3600, "")], "none is running: manage.py worker"),  # the database's clock was set back, and it ended since
    ],
)
def test_readyz_says_how_workers_are(client: Client, database: psycopg.Connection, beats, worker: str):
    for one in beats:
        beat(database, *one)
    assert client.get("/readyz").json()["worker"] == worker


def test_a_worker_that_is_connected_and_says_nothing_is_not_ok(client: Client, database: psycopg.Connection):
    address = {**database.info.get_parameters(), "password": database.info.password}
    with psycopg.connect(**address | {"application_name": "lockstep-worker"}):
        assert client.get("/readyz").json()["worker"] == "none is running: manage.py worker"


def test_a_worker_that_ends_is_not_missed(client: Client, worker: BackgroundWorker):
    worker.start()
    eventually(lambda: client.get("/readyz").json()["worker"] == "ok")
    worker.stop()
    assert client.get("/readyz").json()["worker"] == "none is running: manage.py worker"


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


def test_writes_go_on_where_the_database_takes_them_again(
    transactional_db: None, cast: Cast, read_only: None, database: psycopg.Connection
):
    assert cast.owner.post("/fakeapi/v1/posts/create/", {"title": "t", "body": "b"}).status_code == 503
    database.execute(f"ALTER DATABASE {database.info.dbname} RESET default_transaction_read_only")
    answers = [cast.owner.post("/fakeapi/v1/posts/create/", {"title": "t", "body": "b"}) for _ in range(2)]
    assert answers[-1].status_code == 201  # the first may meet the session of before


def test_requests_and_probes_notice_when_the_database_takes_writes_again(
    transactional_db: None, cast: Cast, read_only: None, database: psycopg.Connection, settings
):
    """Each of the web server's connections answered one write with 503, and its readiness said `read-only` for ever."""
    settings.DEBUG, settings.SECURE_SSL_REDIRECT = False, False
    assert Client().get("/readyz").json()["database"] == "read-only"
    database.execute(f"ALTER DATABASE {database.info.dbname} RESET default_transaction_read_only")
    _leave_what_is_of_no_use()  # as before each request
    session = connection.connection
    assert Client().get("/readyz").json()["database"] == "ok"
    assert cast.owner.post("/fakeapi/v1/posts/create/", {"title": "t", "body": "b"}).status_code == 201
    kept = connection.connection
    _leave_what_is_of_no_use()
    assert (session, connection.connection) == (None, kept)


@pytest.mark.django_db
def test_readyz_does_not_wait_for_a_worker_elsewhere(client: Client, settings):
    settings.DEBUG = False
    settings.SECURE_SSL_REDIRECT = False
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_readyz_names_periodic_work_that_nobody_does(client: Client, settings):
    settings.DEBUG = False
    settings.SECURE_SSL_REDIRECT = False
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO delivery_periodictask VALUES ('order-expiry', now() - interval '1 hour')")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["periodic"]) == (200, "not done for too long: order-expiry")


def test_readyz_says_that_a_database_cannot_be_used(client: Client, monkeypatch: pytest.MonkeyPatch, caplog):
    def refuse(recorder: object) -> None:
        raise UnsuitableDatabase("The role secret_name lacks rights.")

    monkeypatch.setattr("lockstep.api.health.MigrationRecorder.applied_migrations", refuse)
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
def test_probes_answer_over_plain_http_whatever_the_host(settings, path: str):
    settings.DEBUG, settings.SECURE_SSL_REDIRECT, settings.ALLOWED_HOSTS = False, True, ["shop.example"]
    settings.METRICS_TOKEN = "figures"
    headers = {"host": "10.0.0.7:8000", "authorization": "Bearer figures"}
    assert Client().get(path, headers=headers).status_code == 200
    assert Client().get("/problems/", headers={"host": "shop.example"}).status_code == 301


def test_figures_that_take_long_are_the_latest_that_there_are(settings):
    settings.PROBE_SECONDS = 30.0
    counted, free = SimpleQueue(), Event()
    figures = LatestFigures(lambda: counted.get_nowait() if counted.qsize() else free.wait(30) and b"new\n")
    counted.put(b"first\n")
    assert figures.get().startswith(b"first\n")
    later = figures.get()
    assert later.startswith(b"first\n")
    assert b"lockstep_figures_age_seconds" in later
    free.set()
    eventually(lambda: figures.get().startswith(b"new\n"))


def test_figures_that_are_not_there_yet_are_refused(settings):
    settings.PROBE_SECONDS = 0.01
    free = Event()
    figures = LatestFigures(lambda: b"%d" % free.wait(30))
    try:
        with pytest.raises(FiguresLate):
            figures.get()
    finally:
        free.set()


def test_figures_that_cannot_be_counted_say_why(settings):
    settings.PROBE_SECONDS = 30.0

    def fail() -> bytes:
        raise OperationalError("gone")

    with pytest.raises(OperationalError):
        LatestFigures(fail).get()


def test_figures_are_counted_again_after_the_database_was_restarted(database: psycopg.Connection, settings):
    settings.PROBE_SECONDS = 30.0

    def count() -> bytes:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return b"%d\n" % cursor.fetchone()[0]

    figures = LatestFigures(count)
    first = figures.get().split(b"\n")[0]
    database.execute("SELECT pg_terminate_backend(%s, 30000)", [int(first)])
    eventually(lambda: figures.get().split(b"\n")[0] != first)
