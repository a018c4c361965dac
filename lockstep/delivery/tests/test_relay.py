"""The relay fans out every committed change once, and per object in order, however the writers overlap."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psycopg
import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import database_url
from lockstep.delivery import operations, relay
from lockstep.delivery.relay import Step
from lockstep.delivery.tests.support import Steps, insert_post, rename_post, subscriber, waiting
from tests.support import BackgroundWorker, any_lock_waiter, eventually, without_triggers

WRITERS, OBJECTS = 4, 3
NOTHING = Step(moved=False, fanned_out={})


@pytest.fixture
def writers() -> Iterator[list[psycopg.Connection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(psycopg.connect(database_url())) for _ in range(WRITERS)]


def test_changes_before_the_subscription_are_not_delivered(steps: Steps, database: psycopg.Connection):
    insert_post(database, "before")
    steps.declare(subscriber())
    insert_post(database, "after")
    steps.fan_out()
    assert [title for _, title in waiting(database)] == ["after"]


def test_a_subscription_that_has_nothing_new_is_not_behind(steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    assert steps.behind() == []
    insert_post(database, "a")
    assert steps.behind() == ["test"]
    steps.fan_out()
    assert steps.behind() == []


def test_a_change_is_fanned_out_once(steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    insert_post(database, "a")
    assert [steps.fan_out(), steps.fan_out()] == [1, 0]
    assert len(waiting(database)) == 1


def test_a_transaction_that_drew_its_number_early_and_committed_late_is_not_lost(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection]
):
    steps.declare(subscriber())
    insert_post(writers[0], "early")
    insert_post(database, "late")
    steps.fan_out()
    assert [title for _, title in waiting(database)] == ["late"]
    writers[0].commit()
    steps.fan_out()
    assert sorted(title for _, title in waiting(database)) == ["early", "late"]


def test_an_old_transaction_that_writes_last_is_last(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection]
):
    """By transaction id "second" would come first: it is the older transaction's."""
    steps.declare(subscriber())
    post = insert_post(database, "zero")
    insert_post(writers[0], "other")  # begins the older transaction
    rename_post(database, post, "first")
    rename_post(writers[0], post, "second")
    writers[0].commit()
    steps.fan_out()
    assert [title for object_id, title in waiting(database) if object_id == post] == ["zero", "first", "second"]


def test_a_rolled_back_change_is_not_fanned_out(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection]
):
    steps.declare(subscriber())
    insert_post(writers[0], "never")
    steps.fan_out()
    writers[0].rollback()
    insert_post(database, "a")
    steps.fan_out()
    assert [title for _, title in waiting(database)] == ["a"]


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_large_window_goes_out_in_chunks(steps: Steps, database: psycopg.Connection, chunk: int):
    steps.declare(subscriber())
    post = insert_post(database, "0")
    for n in range(1, 7):
        rename_post(database, post, str(n))
    moved = []
    while steps.behind():
        moved.append(steps.fan_out(chunk=chunk))
    assert sum(moved) == 7
    assert max(moved) <= chunk
    assert [title for _, title in waiting(database)] == [str(n) for n in range(7)]


def test_a_change_of_the_skipped_origin_is_not_delivered(steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber(skip_origin="elsewhere"))
    with database.transaction():
        database.execute("SET LOCAL lockstep.origin = 'elsewhere'")
        insert_post(database, "echo")
    insert_post(database, "ours")
    steps.fan_out()
    assert [title for _, title in waiting(database)] == ["ours"]


def test_a_change_of_a_model_that_is_not_followed_is_not_delivered(steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    database.execute(
        "INSERT INTO posts_comment (post_id, name, email, body) VALUES (%s, '', '', '')", [insert_post(database, "a")]
    )
    steps.fan_out()
    assert [title for _, title in waiting(database)] == ["a"]


def test_a_paused_subscription_continues_at_its_place(steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    operations.pause("test", reason="")
    insert_post(database, "a")
    assert steps.behind() == []
    assert steps.fan_out() == 0
    operations.resume("test")
    assert steps.fan_out() == 1


def test_a_subscription_that_another_worker_fans_out_is_left_to_it(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection]
):
    steps.declare(subscriber())
    insert_post(database, "a")
    writers[0].execute("SELECT FROM lockstep_subscription FOR UPDATE")
    assert steps.fan_out() == 0
    writers[0].rollback()
    assert steps.fan_out() == 1


def test_a_transaction_left_open_delays_nothing_but_itself(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection]
):
    steps.declare(subscriber())
    insert_post(writers[0], "open")
    for n in range(5):
        insert_post(database, str(n))
        steps.fan_out()
        assert len(waiting(database)) == n + 1


def test_a_window_fanned_out_by_another_worker_is_not_repeated(steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    for title in ("a", "b", "c"):
        insert_post(database, title)
    [seen] = steps.windows()
    steps.fan_out(chunk=1)
    [seen_open] = steps.windows()
    assert steps.give(seen) == NOTHING
    steps.fan_out(chunk=1)
    assert steps.give(seen_open) == NOTHING
    steps.fan_out(chunk=1)
    assert sorted(title for _, title in waiting(database)) == ["a", "b", "c"]


def test_one_fan_out_serves_all_subscriptions_of_a_place(steps: Steps, database: psycopg.Connection):
    everything = subscriber("everything")
    for who in (everything, subscriber("elsewhere", skip_origin="elsewhere"), subscriber("paused")):
        steps.declare(who)
    steps.fan_out()
    with database.transaction():
        database.execute("SET LOCAL lockstep.origin = 'elsewhere'")
        post = insert_post(database, "echo")
    rename_post(database, post, "ours")
    [window] = steps.windows()
    operations.pause("paused", reason="")
    assert steps.give(window) == Step(moved=True, fanned_out={"everything": 2, "elsewhere": 1})
    assert steps.behind() == []


def places(database: psycopg.Connection) -> list[list[str]]:
    """Who stands at each place, the active ones."""
    rows = database.execute("""
        SELECT array_agg(name ORDER BY name) FROM lockstep_subscription WHERE state = 'active'
        GROUP BY place_id ORDER BY 1
    """).fetchall()
    return [names for (names,) in rows]


def test_subscriptions_that_are_up_to_date_share_a_place(steps: Steps, database: psycopg.Connection):
    for name in ("a", "b", "c"):
        steps.declare(subscriber(name))
    assert places(database) == [["a"], ["b"], ["c"]]
    steps.fan_out()
    assert places(database) == [["a", "b", "c"]]
    operations.pause("b", reason="")
    insert_post(database, "meanwhile")
    steps.fan_out()
    operations.resume("b")
    assert places(database) == [["a", "c"], ["b"]]
    assert [steps.fan_out("b"), steps.fan_out()] == [1, 0]
    assert places(database) == [["a", "b", "c"]]


def test_a_subscription_held_by_an_operation_stays_behind_alone(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection]
):
    others = subscriber("others")
    for who in (subscriber("held"), subscriber("another"), others):
        steps.declare(who)
    database.execute("UPDATE lockstep_subscription SET follows = '{posts.comment.*}' WHERE name = 'others'")
    steps.fan_out()
    writers[0].execute("SELECT FROM lockstep_subscription WHERE name = 'held' FOR NO KEY UPDATE")
    for title in ("a", "b"):
        insert_post(database, title)
        assert steps.fan_out("another") + steps.fan_out("another") == 1
        assert places(database) == [["another", "others"], ["held"]]
    before = database.execute("SELECT count(*) FROM lockstep_place").fetchone()
    assert steps.fan_out() == 0
    assert database.execute("SELECT count(*) FROM lockstep_place").fetchone() == before
    writers[0].rollback()
    assert steps.fan_out("held") == 2
    steps.fan_out()
    assert places(database) == [["another", "held", "others"]]


def test_a_subscription_that_leaves_its_place_during_fan_out_receives_nothing_twice(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection]
):
    """An operation waits for the relay, and leaves the place where the relay brought it."""
    for name in ("leaves", "stays"):
        steps.declare(subscriber(name))
    steps.fan_out()
    with psycopg.connect(database_url()) as slow:
        insert_post(database, "a")
        [window] = steps.windows()
        choice = window._asdict() | {"chunk": 100, "counts": 8}
        assert len(slow.execute(relay.FAN_OUT_FEW, choice).fetchall()) == 2
        pausing = threading.Thread(target=pause_in_a_thread, args=["leaves"])
        pausing.start()
        eventually(lambda: any_lock_waiter(database))
        slow.commit()
        pausing.join()
    operations.resume("leaves")
    assert steps.fan_out() == 0
    assert len(waiting(database)) == 2


def pause_in_a_thread(name: str) -> None:
    operations.pause(name, reason="")
    connections.close_all()


def test_a_window_read_before_others_joined_its_place_is_not_fanned_out(steps: Steps, database: psycopg.Connection):
    """The relay that saw it may have begun, with a snapshot in which they stand elsewhere."""
    for name in ("a", "b"):
        steps.declare(subscriber(name))
    insert_post(database, "1")
    steps.fan_out()
    insert_post(database, "2")
    seen = steps.windows()
    assert steps.run(lambda c: relay.join(c, seen))
    assert places(database) == [["a", "b"]]
    [(shared,)] = database.execute("SELECT DISTINCT place_id FROM lockstep_subscription").fetchall()
    assert [steps.give(window) for window in seen if window.place == shared] == [NOTHING]
    assert [steps.fan_out(), steps.fan_out()] == [2, 0]


def test_unfollowed_changes_write_the_place_and_no_subscription(steps: Steps, database: psycopg.Connection):
    def versions() -> list[tuple[str, str]]:
        return database.execute("SELECT name, xmin::text FROM lockstep_subscription ORDER BY name").fetchall()

    for n in range(200):
        steps.declare(subscriber(f"n{n:03}"))
    database.execute("UPDATE lockstep_subscription SET follows = '{posts.comment.*}'")
    steps.declare(subscriber("who"))
    steps.fan_out()
    [_] = steps.windows()
    before = versions()
    for n in range(5):
        insert_post(database, f"{n}")
        assert steps.fan_out() == 1
    with database.transaction():
        for n in range(500):
            insert_post(database, f"{n}")
    assert steps.fan_out() == 500
    assert steps.behind() == []
    assert [new for old, new in zip(before, versions(), strict=True) if old != new] == [versions()[-1]]


def test_numbers_that_were_rolled_back_make_no_chunks(steps: Steps, database: psycopg.Connection):
    for name in ("a", "b", "c"):
        steps.declare(subscriber(name))
    steps.fan_out()
    insert_post(database, "before")
    database.execute("SELECT setval('lockstep_change_seq', nextval('lockstep_change_seq') + 1000000)")
    with suppress(ZeroDivisionError), database.transaction():
        insert_post(database, "never")
        raise ZeroDivisionError
    insert_post(database, "after")
    assert steps.fan_out() == 6
    assert steps.behind() == []


def test_a_chunk_ends_at_its_limit_of_deliveries(steps: Steps, database: psycopg.Connection):
    for name in ("a", "b", "c"):
        steps.declare(subscriber(name))
    steps.fan_out()
    post = insert_post(database, "0")
    for n in range(1, 40):
        rename_post(database, post, f"{n}")
    placed = []
    while steps.behind():
        placed.append(steps.fan_out(chunk=28))
    assert placed == [30, 30, 30, 30]
    assert len(waiting(database)) == 120


def test_an_undeclared_subscription_is_fanned_out_too(
    steps: Steps, worker: BackgroundWorker, database: psycopg.Connection
):
    """Rows decide, not the code of the worker: of two versions side by side either may be the relay."""
    steps.declare(subscriber("of newer code", cap=2))
    worker.subscribers = []
    worker.start()
    for n in range(4):
        insert_post(database, f"{n}")
        eventually(lambda: [status.state for status in operations.status()] == ["full"] or steps.behind() == [])
    eventually(lambda: [status.state for status in operations.status()] == ["full"])


def test_fan_out_and_settlement_take_lanes_in_one_order(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection]
):
    """Else each could wait for the other. The lane of the second post is the older one here."""
    steps.declare(subscriber())
    posts = sorted(insert_post(database, title) for title in ("a", "b"))
    steps.fan_out()
    steps.settle(*steps.claim(subscriber()))
    for post in reversed(posts):
        rename_post(database, post, "changed")
        steps.fan_out()
    claims = steps.claim(subscriber())
    lock = "SELECT FROM lockstep_lane WHERE object_id = %s FOR UPDATE NOWAIT"
    writers[0].execute(lock, [posts[0]])
    settling = threading.Thread(target=steps.settle, args=claims)
    settling.start()
    eventually(lambda: any_lock_waiter(database))
    writers[1].execute(lock, [posts[1]])
    for writer in writers[:2]:
        writer.rollback()
    settling.join()
    assert waiting(database) == []


step = st.one_of(
    st.tuples(st.just("write"), st.integers(0, WRITERS - 1), st.integers(0, OBJECTS - 1)),
    st.tuples(st.sampled_from(["commit", "rollback"]), st.integers(0, WRITERS - 1), st.just(0)),
    st.tuples(st.just("fan out"), st.integers(1, 4), st.just(0)),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=st.lists(step, max_size=40))
def test_any_schedule_of_writers_and_relays_fans_out_each_commit_once(
    steps: Steps, database: psycopg.Connection, writers: list[psycopg.Connection], schedule: list[tuple[str, int, int]]
):
    """What was committed is fanned out, all of it, once, nothing else; first arrivals of an object ascend."""
    with database.transaction():
        database.execute("TRUNCATE posts_post, lockstep_lane, lockstep_delivery CASCADE")
        with without_triggers(database, "lockstep_change"):
            database.execute("DELETE FROM lockstep_change")
    database.execute("DELETE FROM lockstep_subscription")
    steps.declare(subscriber())
    posts = [insert_post(database, "0") for _ in range(OBJECTS)]
    arrived = Arrivals(steps, database)
    _play(schedule, writers, posts, arrived)
    while steps.behind():
        arrived.fan_out(100)
    log = database.execute("SELECT object_id, seq FROM lockstep_change WHERE model = 'posts.post'").fetchall()
    assert sorted(arrived.seqs) == sorted(seq for _, seq in log)
    owner = {seq: object_id for object_id, seq in log}
    for post in posts:
        own = [seq for seq in arrived.seqs if owner[seq] == post]
        assert own == sorted(own)


class Arrivals:
    """The deliveries in the order in which fan-outs placed them."""

    def __init__(self, steps: Steps, database: psycopg.Connection) -> None:
        self.steps = steps
        self.database = database
        self.seqs: list[int] = []

    def fan_out(self, chunk: int) -> None:
        self.steps.fan_out(chunk=chunk)
        new = "SELECT seq FROM lockstep_delivery WHERE seq <> ALL (%s) ORDER BY seq"
        self.seqs += [seq for (seq,) in self.database.execute(new, [self.seqs]).fetchall()]


def _play(
    schedule: list[tuple[str, int, int]], writers: list[psycopg.Connection], posts: list[str], arrived: Arrivals
) -> None:
    """Carries the schedule out, but for writes that would wait for another writer's row lock; then rolls back."""
    locked: dict[int, int] = {}  # object → writer whose open transaction has its row
    for number, (action, who, what) in enumerate(schedule):
        if action == "fan out":
            arrived.fan_out(who)
        elif action == "write":
            if locked.setdefault(what, who) == who:
                rename_post(writers[who], posts[what], str(number + 1))
        else:
            getattr(writers[who], action)()
            locked = {row: writer for row, writer in locked.items() if writer != who}
    for writer in writers:
        writer.rollback()
