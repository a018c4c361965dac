"""Following the log from outside: nothing is missed or repeated, wherever the follower stopped and went on."""

import asyncio
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from conftest import database_url
from lockstep.changes.models import LoggedChange
from lockstep.delivery import partitions
from lockstep.delivery.database import open_pool
from lockstep.delivery.log_reader import (
    LOG_READER,
    InvalidPosition,
    LogNotInitialised,
    LogReader,
    Position,
    PositionExpired,
    open_log_reader,
)
from lockstep.delivery.tests.support import Steps, begin_epoch, insert_post, rename_post
from tests.support import without_triggers

pytestmark = pytest.mark.slow


@pytest.fixture
def follower(steps: Steps, database: psycopg.Connection) -> Iterator[LogReader]:
    begin_epoch(database)
    with open_log_reader() as follower:
        yield follower


def read_on(follower: LogReader, position: Position) -> tuple[list[str], Position]:
    """Titles of all that there is after a position, and the position after it."""
    titles = []
    while True:
        found = follower.read(position)
        titles += [change.after["title"] for _, change in found]
        if found:
            position = found[-1][0]
            continue
        position = follower.next_window(position)
        if position.start == position.end:
            return titles, position


def test_changes_committed_after_a_position_are_read_once(follower: LogReader, database: psycopg.Connection):
    insert_post(database, "before")
    position = follower.now()
    insert_post(database, "a")
    insert_post(database, "b")
    titles, position = read_on(follower, position)
    assert titles == ["a", "b"]
    assert read_on(follower, position)[0] == []
    insert_post(database, "c")
    assert read_on(follower, position)[0] == ["c"]


def test_a_transaction_open_at_the_position_is_not_missed(follower: LogReader, database: psycopg.Connection):
    with psycopg.connect(database_url()) as slow:
        insert_post(slow, "early number, late commit")
        position = follower.now()
        insert_post(database, "a")
        titles, position = read_on(follower, position)
        assert titles == ["a"]
        slow.commit()
    assert read_on(follower, position)[0] == ["early number, late commit"]


def test_reading_can_continue_from_every_position_of_a_window(follower: LogReader, database: psycopg.Connection):
    start = follower.now()
    for n in range(7):
        insert_post(database, f"{n}")
    position = follower.next_window(start)
    for n, (after, _) in enumerate(follower.read(position)):
        assert read_on(follower, Position.parse(str(after)))[0] == [f"{m}" for m in range(n + 1, 7)]


@contextmanager
def scribbling(posts: list[str], seed: int) -> Iterator[None]:
    """Four writers whose transactions overlap, roll back and commit late."""
    stop = threading.Event()

    def write(own: random.Random) -> None:
        with psycopg.connect(database_url()) as connection:
            while not stop.is_set():
                for post in sorted(own.sample(posts, own.randint(1, 3))):
                    rename_post(connection, post, f"{own.random()}")
                connection.rollback() if own.random() < 0.3 else connection.commit()

    writers = [threading.Thread(target=write, args=(random.Random(f"{seed}-{n}"),)) for n in range(4)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        stop.set()
        for writer in writers:
            writer.join()


class Reader:
    """Reads on in pieces that end anywhere, and goes on from the written position."""

    def __init__(self, follower: LogReader, seed: int) -> None:
        self.follower = follower
        self.position = follower.now()
        self.seen: list[tuple[str, int]] = []
        self.choice = random.Random(seed)

    def step(self) -> bool:
        """Whether there was anything left to read."""
        found = self.follower.read(self.position)
        for after, change in found[: self.choice.randint(1, len(found) or 1)]:
            self.seen.append((change.object_id, change.seq))
            self.position = Position.parse(str(after))
        if not found:
            self.position = self.follower.next_window(self.position)
        return bool(found) or self.position.start != self.position.end


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_missed_repeated_or_out_of_order_among_many_writers(
    follower: LogReader, database: psycopg.Connection, seed: int
):
    posts = [insert_post(database, f"{n}") for n in range(5)]
    before = LoggedChange.objects.order_by("-seq").values_list("seq", flat=True).first()
    reader = Reader(follower, seed)
    with scribbling(posts, seed):
        while len(reader.seen) < 300:
            reader.step()
    while reader.step():
        pass
    everything = LoggedChange.objects.filter(seq__gt=before).order_by("seq").values_list("seq", flat=True)
    assert sorted(seq for _, seq in reader.seen) == list(everything)
    by_object: dict[str, list[int]] = defaultdict(list)
    for post, seq in reader.seen:
        by_object[post].append(seq)
    assert all(numbers == sorted(numbers) for numbers in by_object.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "nonsense",
        "aaaaaaaa/1:1:/1:1:/x/-",
        "aaaaaaaa/5:1:/1:1:/1/-",
        "aaaaaaaa/0:0:/0:0:/1/-",
        "aaaaaaaa/1:1:/1:99999999999999999999:/1/-",
        "aaaaaaaa/1:1:/1:1:/1/1",
        "aaaaaaaa/1:1:/1:1:/1/1.99999999999999999",
        "a" * 10_000,
        "aaaaaaaa/1:1:/1:1:/1/-\0",
    ],
)
def test_invalid_positions_are_refused(follower: LogReader, text: str):
    with pytest.raises(InvalidPosition):
        follower.validate(Position.parse(text))


def test_a_position_of_another_database_or_the_future_is_expired(follower: LogReader, database: psycopg.Connection):
    insert_post(database, "a")
    now = follower.now()
    follower.validate(now)
    assert now.last
    later, longer = now.last.at + timedelta(microseconds=1), f"1:{now.last_xid + 2}:"
    for wrong in (
        replace(now, epoch="00000000"),
        replace(now, end="1:99999999999:"),
        replace(now, end=longer),
        replace(now, last=replace(now.last, at=later)),
        replace(now, last=replace(now.last, seq=now.last.seq + 1)),
        replace(now, last=None),
    ):
        with pytest.raises(PositionExpired):
            follower.validate(wrong)
    with pytest.raises(InvalidPosition):
        follower.validate(replace(now, start="9:1:"))


def test_a_position_shows_no_transaction_above_its_last_change(follower: LogReader, database: psycopg.Connection):
    """Those above would be given out again where the database turns back to the position."""
    with psycopg.connect(database_url()) as earlier, psycopg.connect(database_url()) as later:
        insert_post(earlier, "was open before")
        insert_post(database, "a")
        insert_post(later, "was open after")
        for _ in range(5):
            database.execute("SELECT pg_current_xact_id()")
        position = follower.now()
        (xid,) = database.execute("SELECT max(xid)::text::bigint FROM lockstep_change").fetchone() or (0,)
        assert position.last_xid == xid
        titles, position = read_on(follower, position)
        assert (titles, position.last_xid) == ([], xid)
        later.commit()
        titles, position = read_on(follower, position)
        assert (titles, position.last_xid) == (["was open after"], xid + 1)
        earlier.commit()
    assert read_on(follower, position)[0] == ["was open before"]


def test_an_empty_log_has_a_position(follower: LogReader, database: psycopg.Connection):
    assert database.execute("SELECT count(*) FROM lockstep_change").fetchone() == (0,)
    position = Position.parse(str(follower.now()))
    follower.validate(position)
    insert_post(database, "first")
    follower.validate(position)
    assert read_on(follower, position)[0] == ["first"]


def test_a_dropped_change_proves_a_position_as_well(follower: LogReader, database: psycopg.Connection):
    """A quiet system, where the last change grows old while its reader is there."""
    insert_post(database, "a")
    before = follower.now()
    (xid,) = database.execute("SELECT max(xid)::text::bigint FROM lockstep_change").fetchone() or (0,)
    with database.transaction(), without_triggers(database, "lockstep_change"):
        database.execute("DELETE FROM lockstep_change")
    with pytest.raises(PositionExpired):
        follower.validate(before)
    database.execute("UPDATE lockstep_epoch SET dropped = %s", [xid])
    after = Position.parse(str(follower.now()))
    insert_post(database, "b")
    for position in (before, after):
        follower.validate(position)
        assert read_on(follower, position)[0] == ["b"]


@pytest.mark.parametrize("where", ["another cluster", "a standby"])
def test_the_log_cannot_be_read_on_another_cluster_or_a_standby(
    follower: LogReader, database: psycopg.Connection, where: str, monkeypatch: pytest.MonkeyPatch
):
    position = follower.now()
    if where == "another cluster":
        database.execute("UPDATE lockstep_epoch SET system_identifier = '1'")
    else:
        standby = {name: text.replace("pg_is_in_recovery()", "true") for name, text in LOG_READER.items()}
        monkeypatch.setattr("lockstep.delivery.log_reader.LOG_READER", standby)
    with pytest.raises(LogNotInitialised):
        follower.now()
    with pytest.raises(LogNotInitialised):
        follower.validate(position)


def test_a_position_is_valid_on_a_new_timeline_and_not_on_another_cluster(
    follower: LogReader, database: psycopg.Connection
):
    position = follower.now()
    database.execute(
        "INSERT INTO lockstep_epoch (number, timeline, system_identifier)"
        " SELECT 2, 99, system_identifier FROM lockstep_epoch"
    )
    follower.validate(position)
    database.execute("UPDATE lockstep_epoch SET system_identifier = '1' WHERE number = 1")
    with pytest.raises(PositionExpired):
        follower.validate(position)


@pytest.mark.parametrize("read", ["nothing", "what is kept"])
@pytest.mark.parametrize("clock", ["goes on", "stepped back before the promotion"])
def test_a_position_before_a_dropped_partition_is_expired(
    follower: LogReader, database: psycopg.Connection, clock: str, read: str
):
    if read != "nothing":
        insert_post(database, "read")
    position = follower.now()
    if clock != "goes on":
        database.execute(
            "INSERT INTO lockstep_epoch (number, timeline, system_identifier, began)"
            " SELECT 2, 99, system_identifier, began - interval '1 hour' FROM lockstep_epoch"
        )
    with database.transaction():
        database.execute("CREATE TABLE lockstep_change_20200101 (LIKE lockstep_change INCLUDING ALL)")
        database.execute(
            "ALTER TABLE lockstep_change ATTACH PARTITION lockstep_change_20200101"
            " FOR VALUES FROM ('2020-01-01 00:00Z') TO ('2020-01-02 00:00Z')"
        )
        database.execute(
            "INSERT INTO lockstep_change (at, model, object_id, kind)"
            " VALUES ('2020-01-01 12:00Z', 'posts.post', '1', 'created')"
        )

    async def drop() -> list[str]:
        async with open_pool(2) as pool:
            return await partitions.drop_old_partitions(pool)

    try:
        assert asyncio.run(drop()) == ["lockstep_change_20200101"]
        with pytest.raises(PositionExpired):
            follower.validate(position)
        follower.validate(follower.now())
    finally:
        database.execute("UPDATE lockstep_epoch SET dropped = NULL")
