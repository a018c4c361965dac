"""/healthz and /readyz."""

import pytest
from django.db import connection
from django.test import Client

from tests.support import BackgroundWorker, eventually


@pytest.mark.django_db
def test_healthz_asks_nothing(client: Client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz/").status_code == 200


def test_readyz_waits_for_a_worker_in_development(client: Client, worker: BackgroundWorker, settings):
    settings.DEBUG = True
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"database": "ok", "migrations": "ok", "worker": "none is running: manage.py worker"}
    worker.start()
    eventually(lambda: client.get("/readyz").status_code == 200)


@pytest.mark.django_db
def test_readyz_does_not_wait_for_a_worker_elsewhere(client: Client, settings):
    settings.DEBUG = False
    settings.SECURE_SSL_REDIRECT = False
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_readyz_is_503_while_migrations_are_pending(client: Client):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'posts'")
    answer = client.get("/readyz/")
    assert answer.status_code == 503
    assert answer.json()["migrations"] == "pending: run manage.py migrate"
