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
from lockstep.changes.models import Change
from lockstep.delivery import partitions
from lockstep.delivery.database import SQL, open_pool
from lockstep.delivery.following import Follower, Forgotten, NoLog, NoPlace, Place, following
from lockstep.delivery.tests.support import Steps, begin_epoch, insert_post, rename_post
from tests.support import without_triggers

pytestmark = pytest.mark.slow


@pytest.fixture
def follower(steps: Steps, database: psycopg.Connection) -> Iterator[Follower]:
    begin_epoch(database)
    with following() as follower:
        yield follower


def read_on(follower: Follower, place: Place) -> tuple[list[str], Place]:
    """Titles of all that there is after a place, and the place after it."""
    titles = []
    while True:
        found = follower.read(place)
        titles += [change.after["title"] for _, change in found]
        if found:
            place = found[-1][0]
            continue
        place = follower.move_on(place)
        if place.start == place.end:
            return titles, place


def test_what_commits_after_the_place_is_read_once(follower: Follower, database: psycopg.Connection):
    insert_post(database, "before")
    place = follower.now()
    insert_post(database, "a")
    insert_post(database, "b")
    titles, place = read_on(follower, place)
    assert titles == ["a", "b"]
    assert read_on(follower, place)[0] == []
    insert_post(database, "c")
    assert read_on(follower, place)[0] == ["c"]


def test_a_transaction_that_was_open_at_the_place_is_not_missed(follower: Follower, database: psycopg.Connection):
    with psycopg.connect(database_url()) as slow:
        insert_post(slow, "early number, late commit")
        place = follower.now()
        insert_post(database, "a")
        titles, place = read_on(follower, place)
        assert titles == ["a"]
        slow.commit()
    assert read_on(follower, place)[0] == ["early number, late commit"]


def test_every_place_in_a_window_is_one_to_go_on_from(follower: Follower, database: psycopg.Connection):
    start = follower.now()
    for n in range(7):
        insert_post(database, f"{n}")
    place = follower.move_on(start)
    for n, (after, _) in enumerate(follower.read(place)):
        assert read_on(follower, Place.parse(str(after)))[0] == [f"{m}" for m in range(n + 1, 7)]


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
    """Reads on in pieces that end anywhere, and goes on from the written place."""

    def __init__(self, follower: Follower, seed: int) -> None:
        self.follower = follower
        self.place = follower.now()
        self.seen: list[tuple[str, int]] = []
        self.choice = random.Random(seed)

    def step(self) -> bool:
        """Whether there was anything left to read."""
        found = self.follower.read(self.place)
        for after, change in found[: self.choice.randint(1, len(found) or 1)]:
            self.seen.append((change.object_id, change.seq))
            self.place = Place.parse(str(after))
        if not found:
            self.place = self.follower.move_on(self.place)
        return bool(found) or self.place.start != self.place.end


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_missed_repeated_or_out_of_order_among_many_writers(
    follower: Follower, database: psycopg.Connection, seed: int
):
    posts = [insert_post(database, f"{n}") for n in range(5)]
    before = Change.objects.order_by("-seq").values_list("seq", flat=True).first()
    reader = Reader(follower, seed)
    with scribbling(posts, seed):
        while len(reader.seen) < 300:
            reader.step()
    while reader.step():
        pass
    everything = Change.objects.filter(seq__gt=before).order_by("seq").values_list("seq", flat=True)
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
def test_what_is_no_place(follower: Follower, text: str):
    with pytest.raises(NoPlace):
        follower.examine(Place.parse(text))


def test_a_place_of_another_life_or_of_the_future_is_forgotten(follower: Follower, database: psycopg.Connection):
    insert_post(database, "a")
    now = follower.now()
    follower.examine(now)
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
        with pytest.raises(Forgotten):
            follower.examine(wrong)
    with pytest.raises(NoPlace):
        follower.examine(replace(now, start="9:1:"))


def test_a_place_shows_no_transaction_above_that_of_its_last_change(follower: Follower, database: psycopg.Connection):
    """Those above would be given out again where the database turns back to the place."""
    with psycopg.connect(database_url()) as earlier, psycopg.connect(database_url()) as later:
        insert_post(earlier, "was open before")
        insert_post(database, "a")
        insert_post(later, "was open after")
        for _ in range(5):
            database.execute("SELECT pg_current_xact_id()")
        place = follower.now()
        (xid,) = database.execute("SELECT max(xid)::text::bigint FROM changes_change").fetchone() or (0,)
        assert place.last_xid == xid
        titles, place = read_on(follower, place)
        assert (titles, place.last_xid) == ([], xid)
        later.commit()
        titles, place = read_on(follower, place)
        assert (titles, place.last_xid) == (["was open after"], xid + 1)
        earlier.commit()
    assert read_on(follower, place)[0] == ["was open before"]


def test_an_empty_log_has_a_place(follower: Follower, database: psycopg.Connection):
    assert database.execute("SELECT count(*) FROM changes_change").fetchone() == (0,)
    place = Place.parse(str(follower.now()))
    follower.examine(place)
    insert_post(database, "first")
    follower.examine(place)
    assert read_on(follower, place)[0] == ["first"]


def test_what_was_dropped_proves_a_place_as_well(follower: Follower, database: psycopg.Connection):
    """A quiet system, where the last change grows old while its reader is there."""
    insert_post(database, "a")
    before = follower.now()
    (xid,) = database.execute("SELECT max(xid)::text::bigint FROM changes_change").fetchone() or (0,)
    with database.transaction(), without_triggers(database, "changes_change"):
        database.execute("DELETE FROM changes_change")
    with pytest.raises(Forgotten):
        follower.examine(before)
    database.execute("UPDATE delivery_epoch SET dropped = %s", [xid])
    after = Place.parse(str(follower.now()))
    insert_post(database, "b")
    for place in (before, after):
        follower.examine(place)
        assert read_on(follower, place)[0] == ["b"]


@pytest.mark.parametrize("where", ["another cluster", "a standby"])
def test_there_is_nothing_to_follow_where_ids_mean_nothing(
    follower: Follower, database: psycopg.Connection, where: str, monkeypatch: pytest.MonkeyPatch
):
    place = follower.now()
    if where == "another cluster":
        database.execute("UPDATE delivery_epoch SET system_identifier = '1'")
    else:
        standby = {name: text.replace("pg_is_in_recovery()", "true") for name, text in SQL["following"].items()}
        monkeypatch.setattr("lockstep.delivery.following.FOLLOWING", standby)
    with pytest.raises(NoLog):
        follower.now()
    with pytest.raises(NoLog):
        follower.examine(place)


def test_a_place_outlives_a_timeline_and_not_a_cluster(follower: Follower, database: psycopg.Connection):
    place = follower.now()
    database.execute(
        "INSERT INTO delivery_epoch (number, timeline, system_identifier)"
        " SELECT 2, 99, system_identifier FROM delivery_epoch"
    )
    follower.examine(place)
    database.execute("UPDATE delivery_epoch SET system_identifier = '1' WHERE number = 1")
    with pytest.raises(Forgotten):
        follower.examine(place)


@pytest.mark.parametrize("read", ["nothing", "what is kept"])
@pytest.mark.parametrize("clock", ["goes on", "stepped back before the promotion"])
def test_a_place_before_what_was_dropped_is_forgotten(
    follower: Follower, database: psycopg.Connection, clock: str, read: str
):
    if read != "nothing":
        insert_post(database, "read")
    place = follower.now()
    if clock != "goes on":
        database.execute(
            "INSERT INTO delivery_epoch (number, timeline, system_identifier, began)"
            " SELECT 2, 99, system_identifier, began - interval '1 hour' FROM delivery_epoch"
        )
    with database.transaction():
        database.execute("CREATE TABLE changes_change_20200101 (LIKE changes_change INCLUDING ALL)")
        database.execute(
            "ALTER TABLE changes_change ATTACH PARTITION changes_change_20200101"
            " FOR VALUES FROM ('2020-01-01 00:00Z') TO ('2020-01-02 00:00Z')"
        )
        database.execute(
            "INSERT INTO changes_change (at, model, object_id, kind)"
            " VALUES ('2020-01-01 12:00Z', 'posts.post', '1', 'created')"
        )

    async def drop() -> list[str]:
        async with open_pool(2) as pool:
            return await partitions.drop_old_partitions(pool)

    try:
        assert asyncio.run(drop()) == ["changes_change_20200101"]
        with pytest.raises(Forgotten):
            follower.examine(place)
        follower.examine(follower.now())
    finally:
        database.execute("UPDATE delivery_epoch SET dropped = NULL")
