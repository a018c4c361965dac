"""What people outside get of a running Lockstep: live streams and webhooks, from the processes as they really run."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from lockstep.webhooks.tests.receiver import receiving
from tests.acceptance.running import Run, free_port
from tests.conftest import copied
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

STREAMS = 6  # more than the requests that are worked on at once


@pytest.fixture(scope="module")
def shared_run(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A start takes seconds."""
    folder = tmp_path_factory.mktemp("running")
    folder.chmod(0o755)  # PostgreSQL's account passes through when we are root
    run = Run(copied(first_home, folder / "home"), free_port(), WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8")
    yield run
    run.end()


@pytest.fixture
def running(shared_run: Run) -> Run:
    """One that is ready: the test before may have killed a part of it."""
    shared_run.until_ready()
    return shared_run


@pytest.fixture
def admin(running: Run) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {running.sign_in('admin', '12345')}"}
    with httpx.Client(base_url=running.url, headers=headers, timeout=10) as client:
        yield client


def create(client: httpx.Client, title: str) -> None:
    client.post("/fakeapi/v1/posts/create/", json={"title": title, "body": "b"}).raise_for_status()


def titles(lines: Iterator[str], count: int) -> list[str]:
    """Titles of the next so many events."""
    found: list[str] = []
    while len(found) < count:
        name, _, value = next(lines).partition(": ")
        if name == "data":
            found.append(json.loads(value)["after"]["title"])
    return found


def test_a_webhook_follows_a_write_and_a_killed_worker_loses_none(running: Run, admin: httpx.Client) -> None:
    with receiving() as receiver:
        made = admin.post("/api/v1/webhooks/", json={"url": receiver.url, "events": ["posts.post.*"]})
        secret = made.raise_for_status().json()["secret"]
        create(admin, "first")
        eventually(lambda: receiver.requests, "the first event")
        assert receiver.requests[0].verified(secret)["data"]["after"]["title"] == "first"
        running.kill("manage.py lockstep worker")
        for n in range(20):
            create(admin, f"{n}")
        eventually(lambda: len(set(receiver.ids)) == 21, "all events")
        got = {Webhook(secret).verify(each.body, each.headers)["data"]["after"]["title"] for each in receiver.requests}
        assert got == {"first", *(f"{n}" for n in range(20))}


def test_streams_are_live_hold_up_no_request_and_end_with_the_server(running: Run, admin: httpx.Client) -> None:
    """The last of this file: it ends the shared system."""
    live = [
        admin.send(
            admin.build_request("GET", "/api/v1/changes/?events=posts.*", headers={"Accept": "text/event-stream"}),
            stream=True,
        )
        for _ in range(STREAMS)
    ]
    for n in range(3):
        create(admin, f"{n}")
    for answer in live:
        assert titles(answer.iter_lines(), 3) == ["0", "1", "2"]
    running.make.send_signal(signal.SIGTERM)
    running.code()
    running.none_left()
    for answer in live:
        answer.close()
