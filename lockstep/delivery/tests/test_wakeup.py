"""Workers hear of commits at once; and what they do not hear of they find."""

import logging
from collections.abc import Callable

import psycopg
import pytest
from django.db import transaction

from backend.posts.models import Post
from lockstep.changes import wakeup
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.wakeup import CommitNotifier, commit_notifier
from lockstep.delivery import worker as worker_module
from lockstep.delivery.subscriptions import Claim
from lockstep.delivery.tests.support import Steps, insert_post, subscriber
from tests.support import BackgroundWorker, eventually

HOUR = 3600.0
Start = Callable[[], list[str]]


@pytest.fixture
def start(worker: BackgroundWorker, steps: Steps, database: psycopg.Connection) -> Start:
    """Starts a worker that listens; returns the titles that it delivers."""
    titles: list[str] = []

    async def handler(claim: Claim) -> None:
        titles.append((claim.change.after or {})["title"])

    def started() -> list[str]:
        worker.subscribers = [subscriber(handler=handler)]
        worker.start()
        listening = "SELECT count(*) FROM lockstep_workerheartbeat"  # the listening connection writes it
        eventually(lambda: database.execute(listening).fetchone() == (1,), "the worker to listen")
        return titles

    return started


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that does not look by itself while a test lasts."""
    monkeypatch.setattr(worker_module, "MIN_POLL_SECONDS", HOUR)
    monkeypatch.setattr(worker_module, "MAX_POLL_SECONDS", HOUR)


def test_a_commit_is_notified(seldom: None, start: Start):
    titles = start()
    for title in ("a", "b", "c"):
        with attributed_transaction(actor="someuser"):
            Post.objects.create(title=title, body="b")
        eventually(lambda title=title: title in titles)


def test_writes_past_django_are_found_by_polling(start: Start, database: psycopg.Connection):
    titles = start()
    insert_post(database, "by hand")
    eventually(lambda: titles == ["by hand"])


def test_a_rollback_is_not_notified(transactional_db: None, monkeypatch: pytest.MonkeyPatch):
    announced: list[bool] = []
    monkeypatch.setattr(commit_notifier, "notify", lambda: announced.append(True))
    with attributed_transaction(actor="someuser"):
        transaction.set_rollback(True)
    assert announced == []
    with attributed_transaction(actor="someuser"):
        pass
    assert announced == [True]


def test_a_failed_notification_does_not_affect_the_writer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(wakeup, "connection_parameters", lambda: {"host": "127.0.0.1", "port": 9})
    voice = CommitNotifier()
    with caplog.at_level(logging.INFO):
        voice.notify()
        eventually(lambda: "workers are not notified of commits for now" in caplog.text)
    voice.close()


def test_many_commits_are_one_notification(database: psycopg.Connection):
    heard = 0
    database.execute(f"LISTEN {wakeup.CHANNEL}")
    voice = CommitNotifier()
    voice.notify()
    for _ in database.notifies(timeout=10, stop_after=1):
        heard += 1
    for _ in range(1_000):  # all of them within the pause that follows the first
        voice.notify()
    for _ in database.notifies(timeout=1):
        heard += 1
    voice.close()
    assert 2 <= heard < 100
