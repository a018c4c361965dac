from threading import Thread

import pytest
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from lockstep.changes.query_log import MAX_QUERIES, bound_query_log


@pytest.mark.django_db
def test_a_thread_beside_the_requests_keeps_its_last_queries_only(monkeypatch, settings):
    monkeypatch.setattr(BaseDatabaseWrapper, "queries_limit", BaseDatabaseWrapper.queries_limit)
    settings.DEBUG = True
    bound_query_log()
    kept: list[int] = []

    def ask() -> None:
        for _ in range(MAX_QUERIES + 5):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        kept.append(len(connection.queries_log))
        connections.close_all()

    thread = Thread(target=ask)
    thread.start()
    thread.join()
    assert kept == [MAX_QUERIES]
