"""Server-sent events: live, resumed, refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

import orjson
import psycopg
import pytest

from lockstep.delivery import log_reader
from lockstep.delivery.tests.support import begin_epoch, insert_post, rename_post
from lockstep.feed import stream as stream_module
from tests.support import Person

PATH = "/api/v1/changes/"
LIVE = {"accept": "text/event-stream"}


@dataclass
class Event:
    id: str = ""
    event: str = ""
    data: Any = None


@pytest.fixture(autouse=True)
def epoch(database: psycopg.Connection) -> None:
    begin_epoch(database)


@pytest.fixture
def staff(transactional_db: None) -> Person:
    return Person.make("staff", staff=True)


@contextmanager
def stream(person: Person, last_event_id: str = "", query: str = "") -> Iterator[Iterator[Event]]:
    """Events as a client of the specification reads them; the first only tells where it began."""
    response = person.client.get(f"{PATH}{query}", headers=LIVE | {"last-event-id": last_event_id})
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "text/event-stream"
    try:
        yield (_event(part) for part in response)
    finally:
        response.close()


def _event(part: bytes) -> Event:
    event = Event()
    for line in part.decode().strip().splitlines():
        name, _, value = line.partition(": ")
        if name in ("id", "event"):
            setattr(event, name, value)
        elif name == "data":
            event.data = orjson.loads(value)
    return event


def titles(events: Iterator[Event], count: int) -> list[str]:
    """Of the next so many events that carry something."""
    found: list[str] = []
    while len(found) < count:
        event = next(events)
        if event.data:
            found.append((event.data["after"] or event.data["before"])["title"])
    return found


def test_changes_arrive_as_they_are_committed(staff: Person, database: psycopg.Connection):
    insert_post(database, "before")
    with stream(staff) as events:
        assert next(events).data is None
        post = insert_post(database, "a")
        event = next(event for event in events if event.data)
        assert (event.event, event.data["object_id"], event.data["after"]["title"]) == ("posts.post.created", post, "a")
        rename_post(database, post, "b")
        assert titles(events, 1) == ["b"]


def test_a_reconnecting_client_misses_and_repeats_nothing(staff: Person, database: psycopg.Connection):
    with stream(staff) as events:
        begun = next(events).id
        for n in range(5):
            insert_post(database, f"{n}")
        seen = [next(event for event in events if event.data) for _ in range(3)]
    insert_post(database, "5")
    with stream(staff, seen[-1].id) as events:
        assert titles(events, 3) == ["3", "4", "5"]
    with stream(staff, begun) as events:
        assert titles(events, 6) == [f"{n}" for n in range(6)]
    with stream(staff, query=f"?last_event_id={seen[1].id}") as events:
        assert titles(events, 1) == ["2"]


def test_a_stream_sends_the_requested_events_only(staff: Person, database: psycopg.Connection):
    with stream(staff, query="?events=posts.post.updated,posts.comment.*") as events:
        next(events)
        post = insert_post(database, "a")
        rename_post(database, post, "b")
        assert titles(events, 1) == ["b"]


def test_heartbeats_carry_the_position(staff: Person, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_module, "HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(stream_module, "POLL_SECONDS", 0.01)
    with stream(staff, query="?events=posts.comment.*") as events:
        begun = next(events)
        post = insert_post(database, "not asked for")
        seq = database.execute("SELECT seq FROM lockstep_change WHERE object_id = %s", [post]).fetchone()
        later = next(event for event in events if event.id.split("/")[3] == str(seq[0]))
        assert (begun.data, later.data) == (None, None)
    insert_post(database, "next")
    with stream(staff, later.id) as events:
        assert titles(events, 1) == ["next"]


def test_a_stream_ends_so_that_its_client_shows_its_token_again(staff: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_module, "LIFE_SECONDS", 0.0)
    with stream(staff) as events:
        assert len(list(events)) == 1


@pytest.mark.parametrize("position", ["nonsense", "00000000/2:1:/1:1:/0/-", "-1"])
def test_an_invalid_last_event_id_is_refused(staff: Person, position: str):
    response = staff.client.get(PATH, headers=LIVE | {"last-event-id": position})
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


def test_an_expired_position_is_410(staff: Person, database: psycopg.Connection):
    with stream(staff) as events:
        position = next(events).id
    database.execute("UPDATE lockstep_epoch SET dropped = 9000000000")
    try:
        response = staff.client.get(PATH, headers=LIVE | {"last-event-id": position})
    finally:
        database.execute("UPDATE lockstep_epoch SET dropped = NULL")
    assert response.status_code == 410
    assert "start from now" in response.json()["detail"]


def test_unknown_patterns_are_400(staff: Person):
    assert staff.client.get(f"{PATH}?events=nothing.*", headers=LIVE).status_code == 400


def test_streams_are_limited_and_release_their_slot(staff: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_module, "_slots", BoundedSemaphore(1))
    for _ in range(3):
        first = staff.client.get(PATH, headers=LIVE)
        second = staff.client.get(PATH, headers=LIVE)
        assert (first.status_code, second.status_code, second["Retry-After"]) == (200, 503, "5")
        first.close()  # never read
    assert staff.client.get(PATH, headers=LIVE | {"last-event-id": "nonsense"}).status_code == 400
    staff.client.get(PATH, headers=LIVE).close()


def test_head_takes_no_stream_slot(staff: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_module, "_slots", BoundedSemaphore(1))
    heads = [staff.client.head(PATH, headers=LIVE) for _ in range(3)]
    assert [(head.status_code, head["Content-Type"]) for head in heads] == [(200, "text/event-stream")] * 3
    with stream(staff) as events:
        assert next(events).id


def test_before_a_worker_has_ever_run_there_is_nothing_to_follow(staff: Person, database: psycopg.Connection):
    database.execute("DELETE FROM lockstep_epoch")
    for position in ("", "0000000a/1:1:/1:1:/0/-"):
        answer = staff.client.get(PATH, headers=LIVE | {"last-event-id": position})
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert answer.json()["type"] == "/problems/unavailable"


def test_a_stream_ends_with_its_database_and_can_be_resumed(
    staff: Person, database: psycopg.Connection, caplog: pytest.LogCaptureFixture
):
    with stream(staff) as events:
        began = next(events)
        insert_post(database, "a")
        assert next(events).data["after"]["title"] == "a"
        database.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = 'lockstep-feed'"
        )
        assert list(events) == []
    assert "a stream ends because of the database" in caplog.text
    with stream(staff, last_event_id=began.id) as events:
        next(events)
        assert next(events).data["after"]["title"] == "a"


def test_a_stream_that_cannot_be_opened_for_now_is_503(staff: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_reader, "connection_parameters", lambda: {"host": "127.0.0.1", "port": 9})
    response = staff.client.get(PATH, headers=LIVE)
    assert (response.status_code, response["Retry-After"]) == (503, "2"), response.content
