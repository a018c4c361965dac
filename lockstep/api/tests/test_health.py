"""/healthz and /readyz."""

from queue import SimpleQueue
from threading import Event

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client

from lockstep.api.figures import FiguresLate, LatestFigures
from tests.support import BackgroundWorker, eventually


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


def test_readyz_does_not_count_workers_of_another_database(client: Client, database: psycopg.Connection, settings):
    settings.DEBUG = True
    address = {**database.info.get_parameters(), "password": database.info.password, "dbname": "postgres"}
    with psycopg.connect(**address | {"application_name": "lockstep-worker"}):
        assert client.get("/readyz").json()["worker"] == "none is running: manage.py worker"
    with psycopg.connect(**address | {"application_name": "lockstep-worker", "dbname": database.info.dbname}):
        assert client.get("/readyz").json()["worker"] == "ok"


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
