"""A database that is older than it was: a replica that was behind is promoted, a base backup is put in its place.

No message id names two changes, and a client of the feed is told what it cannot know.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from faults.articles import insert_article, subscriber
from kit.servers import back_up, database_of, database_url, promote, promoted
from kit.steps import Steps, begin_epoch
from kit.waiting import eventually
from kit.workers import BackgroundWorker
from psycopg.conninfo import conninfo_to_dict

from devstack.launcher.postgres import Server
from lockstep.delivery.log_reader import LogReader, Position, PositionExpired
from lockstep.delivery.subscriptions import Claim

pytestmark = [pytest.mark.needs("linux")]

Start = Callable[[Server], AbstractContextManager[Server]]


@contextmanager
def in_place(copy: Server) -> Iterator[Server]:
    """The base backup in the place of the data, as it is."""
    with copy:
        yield copy


def read_on(follower: LogReader, place: Position) -> list[str]:
    """Titles of all that there is after a place."""
    titles: list[str] = []
    while True:
        found = follower.read(place)
        titles += [change.after["title"] for _, change in found if change.after]
        if found:
            place = found[-1][0]
            continue
        place = follower.next_window(place)
        if place.start == place.end:
            return titles


@pytest.mark.parametrize("start", [promoted, pytest.param(in_place, marks=pytest.mark.faults)])
def test_no_id_names_two_changes_and_no_place_passes_over_one(
    start: Start, steps: Steps, database: psycopg.Connection, home: Path
):
    begin_epoch(database)
    steps.declare(subscriber())
    for n in range(5):
        insert_article(database, f"kept {n}")
    kept = {claim.message_id for claim in steps.deliver_all(subscriber())}
    follower = LogReader(database)
    before = follower.now()
    copy = back_up(database_url(), home / "copy")
    for n in range(25):
        insert_article(database, f"lost {n}")
    lost = {claim.message_id for claim in steps.deliver_all(subscriber())}
    beyond = follower.now()
    with start(copy):
        url = database_of(copy, database_url())
        with psycopg.connect(url, autocommit=True) as older, closing(Steps(url)) as there:
            goes_on = LogReader(older)
            goes_on.validate(before)
            with pytest.raises(PositionExpired):
                goes_on.validate(beyond)
            for n in range(80):
                insert_article(older, f"new {n}")
            with pytest.raises(PositionExpired):
                goes_on.validate(beyond)
            assert read_on(goes_on, before) == [f"new {n}" for n in range(80)]
            new = {claim.message_id for claim in there.deliver_all(subscriber())}
            assert (len(kept), len(lost), len(new), new & (lost | kept)) == (5, 25, 80, set())


@dataclass
class Moved:
    """A worker whose database is a copy of the test server, and is exchanged under it at the same address."""

    worker: BackgroundWorker
    caplog: pytest.LogCaptureFixture
    database: Server
    older: Server
    got: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.worker.subscribers = [subscriber(handler=self._receive)]
        self.worker.start()

    async def _receive(self, claim: Claim) -> None:
        assert claim.change.after
        self.got.append(claim.change.after["title"])

    def write(self, title: str) -> None:
        """A post that the worker delivers."""
        with self.connection() as connection:
            eventually(lambda: connection.execute("SELECT 1 FROM lockstep_subscription WHERE name = 'test'").fetchone())
            insert_article(connection, title)
        eventually(lambda: title in self.got, title)

    def connection(self) -> psycopg.Connection:
        return psycopg.connect(database_of(self.database, database_url()), autocommit=True)

    def exchange(self) -> None:
        """The database ends, and the older one starts at its address."""
        self.older.port = self.database.port
        self.database.stop()
        self.database = self.older
        self.older.start()

    def told(self, text: str) -> int:
        """How many lines of the log say this."""
        return sum(text in record.getMessage() for record in self.caplog.records)


@pytest.fixture
def moved(
    steps: Steps,
    worker: BackgroundWorker,
    caplog: pytest.LogCaptureFixture,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Moved]:
    with back_up(database_url(), home / "database") as server:
        url = database_of(server, database_url())
        monkeypatch.setattr("lockstep.delivery.database.connection_parameters", lambda: conninfo_to_dict(url))
        monkeypatch.setattr("lockstep.delivery.worker.connection_parameters", lambda: conninfo_to_dict(url))
        with psycopg.connect(url, autocommit=True) as connection:
            begin_epoch(connection)
        moved = Moved(worker, caplog, server, back_up(url, home / "older"))
        yield moved
        worker.stop()
        moved.older.stop()


@pytest.mark.faults
def test_a_worker_waits_for_a_standby_and_goes_on_when_it_is_promoted(moved: Moved):
    """What it declared is not in the replica, which was behind; what happened is said once."""
    moved.start()
    moved.write("on the old primary")
    (moved.older.folder / "standby.signal").touch()
    moved.exchange()
    eventually(lambda: moved.told("is a standby"))
    promote(moved.database)
    moved.write("on the new one")
    with moved.connection() as connection:
        noted = connection.execute("SELECT number, timeline FROM lockstep_epoch ORDER BY number").fetchall()
    assert noted == [(1, 1), (2, 2)]
    assert moved.told("is not the one that it was") == 1


@pytest.mark.faults
def test_a_worker_goes_on_in_a_base_backup(moved: Moved):
    """It is of the same timeline: only the length of its write-ahead log tells."""
    moved.start()
    moved.write("lost")
    with moved.connection() as connection:
        for n in range(20):
            insert_article(connection, f"{n}" * 100_000)
    eventually(lambda: len(moved.got) == 21)
    moved.exchange()
    moved.write("in the backup")
    assert moved.told("of its write-ahead log less than it had") == 1


@pytest.mark.faults
def test_a_worker_that_starts_after_a_promotion_tells_it(moved: Moved):
    moved.start()
    moved.write("on the old primary")
    moved.worker.stop()
    (moved.older.folder / "standby.signal").touch()
    moved.exchange()
    promote(moved.database)
    moved.start()
    moved.write("on the new one")
    assert moved.told("it is on timeline 2 now") == 1


@pytest.mark.faults
def test_a_transaction_that_was_prepared_before_the_backup_and_committed_in_it_is_delivered(steps: Steps, home: Path):
    """It was open in every snapshot of a place: those of subscriptions, and those that clients of the feed hold."""
    settings = {"max_prepared_transactions": "5"}
    server = back_up(database_url(), home / "database")
    server.settings = settings
    with (
        server,
        closing(Steps(database_of(server, database_url()))) as here,
        psycopg.connect(here.url, autocommit=True) as database,
    ):
        begin_epoch(database)
        here.declare(subscriber())
        database.execute("BEGIN")
        insert_article(database, "prepared")
        database.execute("PREPARE TRANSACTION 'held'")
        insert_article(database, "kept")
        assert len(here.deliver_all(subscriber())) == 1
        place = LogReader(database).now()
        copy = back_up(here.url, home / "copy")
        copy.settings = settings
        insert_article(database, "lost")
        lost = LogReader(database).now()
        database.execute("COMMIT PREPARED 'held'")
        seen = LogReader(database).next_window(place)
    with (
        promoted(copy),
        closing(Steps(database_of(copy, database_url()))) as there,
        psycopg.connect(there.url, autocommit=True) as database,
    ):
        follower = LogReader(database)
        for beyond in (lost, seen):
            with pytest.raises(PositionExpired):
                follower.validate(beyond)
        database.execute("COMMIT PREPARED 'held'")
        insert_article(database, "new")
        titles = [claim.change.after["title"] for claim in there.deliver_all(subscriber()) if claim.change.after]
        follower.validate(place)
        assert sorted(titles) == sorted(read_on(follower, place)) == ["new", "prepared"]
