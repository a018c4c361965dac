"""Lanes: one change of an object at a time, in order; a claim that was lost changes nothing."""

import itertools
import random
import threading
from collections import Counter
from datetime import timedelta

import psycopg
import pytest

from conftest import database_url
from lockstep.delivery import lanes, operations
from lockstep.delivery.errors import (
    DeliveryError,
    DependencyPending,
    Interrupted,
    LeaseLost,
    Rejected,
    RetryLater,
    Unreachable,
)
from lockstep.delivery.housekeeping import UPKEEP
from lockstep.delivery.lanes import BEGINNING, LANES, Outcome, ScanFloor
from lockstep.delivery.retry import JITTER, SCHEDULE, delay_after
from lockstep.delivery.subscriptions import Claim, Subscriber, registered
from lockstep.delivery.tests.support import EVENT, STATE, Steps, drop_from_log, rename_post, waiting, write
from lockstep.http.retry_after import retry_after_seconds
from tests.support import any_lock_waiter, eventually


def lane(database: psycopg.Connection, column: str) -> object:
    row = database.execute(f"SELECT {column} FROM lockstep_lane").fetchone()
    return row and row[0]


def test_an_event_subscription_gets_every_change_in_order(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b", "c")
    titles = []
    while claims := steps.claim(EVENT):
        titles.append(claims[0].change.after["title"])
        steps.settle(*claims)
    assert titles == ["a", "b", "c"]


def test_a_state_subscription_gets_the_latest_state_and_absorbs_the_others(steps: Steps, database: psycopg.Connection):
    write(steps, database, STATE, "a", "b", "c")
    [claim] = steps.claim(STATE)
    assert claim.change.after["title"] == "c"
    steps.settle(claim)
    assert waiting(database) == []


def test_a_state_that_changed_during_its_delivery_is_delivered_again(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, STATE, "a")
    [claim] = steps.claim(STATE)
    rename_post(database, post, "b")
    steps.fan_out()
    steps.settle(claim)
    [again] = steps.claim(STATE)
    assert again.change.after["title"] == "b"


def test_a_claimed_lane_cannot_be_claimed_again(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    assert len(steps.claim(EVENT)) == 1
    assert steps.claim(EVENT) == []


def test_an_empty_lane_is_deleted(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    assert steps.settle(*steps.claim(EVENT)) == 1
    assert lane(database, "id") is None


def test_a_lane_whose_lease_ended_is_claimed_again_with_the_same_message_id(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    [first] = steps.claim(EVENT)
    database.execute("UPDATE lockstep_lane SET next_at = now()")
    [second] = steps.claim(EVENT)
    assert second.message_id == first.message_id
    assert second.token != first.token
    assert second.attempts == 1


def test_a_stale_ack_changes_nothing(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    [lost] = steps.claim(EVENT)
    database.execute("UPDATE lockstep_lane SET next_at = now()")
    [held] = steps.claim(EVENT)
    before = database.execute("SELECT * FROM lockstep_lane").fetchall()
    for error in (None, RetryLater("late"), Rejected("late")):
        assert steps.settle(lost, error=error) == 0
    assert database.execute("SELECT * FROM lockstep_lane").fetchall() == before
    assert len(waiting(database)) == 2
    assert steps.settle(held) == 1


def test_a_stale_ack_does_not_affect_the_later_claim(steps: Steps, database: psycopg.Connection):
    """A courier settles together what ended together; a clock that steps forward may have given it a lane twice."""
    write(steps, database, EVENT, "a")
    [stale] = steps.claim(EVENT)
    database.execute("UPDATE lockstep_lane SET next_at = now() - interval '1 s'")
    [again] = steps.claim(EVENT)
    outcomes = [Outcome(again, RetryLater("busy")), Outcome(stale)]
    assert steps.run(lambda connection: lanes.settle(connection, outcomes)) == outcomes[:1]
    assert (lane(database, "attempts"), lane(database, "failure")) == (1, "failed")


def test_only_an_answer_uses_up_an_attempt(steps: Steps, database: psycopg.Connection):
    """A worker that dies between the receiver's answer and its settlement has not tried, however often."""
    write(steps, database, EVENT, "a")
    for _ in range(len(SCHEDULE) + 1):
        assert [claim.attempts for claim in steps.claim(EVENT)] == [1]
        database.execute("UPDATE lockstep_lane SET next_at = now()")
    steps.settle(*steps.claim(EVENT), error=RetryLater("503"))
    assert lane(database, "attempts") == 1
    assert letters(database) == []


@pytest.mark.parametrize(
    "error", [Interrupted("no disk"), LeaseLost("late"), DependencyPending("its parent")], ids=repr
)
def test_failures_of_our_own_side_use_up_no_attempt(steps: Steps, database: psycopg.Connection, error: Exception):
    write(steps, database, EVENT, "a")
    for _ in range(len(SCHEDULE) + 1):
        steps.settle(*steps.claim(EVENT), error=error)
        assert lane(database, "attempts = 0 AND next_at <= now() + interval '6 s'")
        database.execute("UPDATE lockstep_lane SET next_at = now()")
    assert letters(database) == []


def test_silence_uses_up_the_attempts_of_the_schedule_and_no_others(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    steps.settle(*steps.claim(EVENT), error=Unreachable("refused"))
    for statement in ("probe", "release_unreachable"):
        for _ in range(len(SCHEDULE)):
            bring_forward(database, statement)
            steps.settle(*steps.claim(EVENT), error=Unreachable("refused"))
            assert lane(database, "attempts") == 1
    bring_forward(database, "release_unreachable")
    steps.settle(*steps.claim(EVENT), error=RetryLater("503"))  # that is an answer
    assert lane(database, "attempts") == 2
    database.execute("UPDATE lockstep_lane SET next_at = now()")
    steps.settle(*steps.claim(EVENT), error=Unreachable("refused"))
    assert lane(database, "attempts") == 3


def test_lanes_of_a_remote_are_released_gradually(steps: Steps, database: psycopg.Connection):
    steps.declare(EVENT)
    database.execute("INSERT INTO posts_post (title, body) SELECT n, '' FROM generate_series(1, 20) AS n")
    steps.fan_out()
    steps.settle(*steps.claim(EVENT), error=Unreachable("refused"))
    database.execute("UPDATE lockstep_lane SET next_at = now() + interval '5 hours'")
    with database.transaction():
        bring_forward(database, "release_unreachable")
        due = "SELECT extract(epoch FROM next_at - now())::float8 FROM lockstep_lane ORDER BY next_at"
        waits = [seconds for (seconds,) in database.execute(due).fetchall()]
    assert (waits[:8], waits[-1]) == ([0.0] * 8, 5.0)
    assert all(0 < seconds <= 5 for seconds in waits[8:])


def bring_forward(database: psycopg.Connection, statement: str) -> None:
    """A release by a courier with 8 concurrent deliveries, after a possible or an actual response of the remote."""
    choice = {"subscription": "test", "at_once": 8, "seconds": timedelta(seconds=5)}
    assert database.execute(LANES[statement], choice).rowcount > 0


def letters(database: psycopg.Connection) -> list[tuple[str, int]]:
    return database.execute("SELECT cause, attempts FROM lockstep_deadletter ORDER BY died").fetchall()


@pytest.mark.parametrize("who", [EVENT, STATE], ids=lambda who: who.kind)
def test_a_change_dropped_from_the_log_is_a_dead_letter_and_its_lane_continues(
    steps: Steps, database: psycopg.Connection, who: Subscriber
):
    """Retention dropped its week while a replay placed it. It was claimed and released 40 times a second."""
    post = write(steps, database, who, "a")
    drop_from_log(database)
    assert steps.claim(who) == []
    assert letters(database) == [("Vanished: the change log does not have this change any more", 0)]
    assert lane(database, "id") is None
    rename_post(database, post, "b")
    steps.fan_out()
    assert [claim.change.after["title"] for claim in steps.claim(who)] == ["b"]


def test_workers_of_two_versions_keep_the_order_of_an_object(steps: Steps, database: psycopg.Connection):
    """One has it as state, the other one as event. Whatever is sent is later than what was sent before."""
    titles = [f"{n:02}" for n in range(12)]
    for declared in ((STATE, EVENT), (EVENT, STATE)):
        write(steps, database, declared[0], *titles)
        sent = []
        for n in range(2 * len(titles)):
            for claim in steps.claim((EVENT, STATE)[n % 2]):
                sent.append(claim.change.after["title"])
                if n == 0:
                    redeclare(database, declared[1])  # between its claim and its settlement
                steps.settle(claim)
        assert sent == sorted(set(sent))
        assert sent[-1] == titles[-1]
        assert waiting(database) == []
        operations.unsubscribe("test")


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.faults) for n in range(1, 50))])
def test_an_object_never_goes_back_with_two_versions_of_the_code(steps: Steps, database: psycopg.Connection, seed: int):
    """Writes, fan-out, claims, settlements and failures of both versions, and flips of the kind, in any order."""
    chance = random.Random(seed)
    versions = itertools.count()
    post = write(steps, database, EVENT, f"{next(versions):04}")
    sent: list[str] = []
    claims: list[Claim] = []
    failures: list[str] = []

    def claim(who: Subscriber) -> None:
        for found in steps.claim(who):
            claims.append(found)
            sent.append(found.change.after["title"])

    def fail() -> None:
        """It may have arrived all the same."""
        for _ in claims[:1]:
            steps.settle(claims.pop(), error=RetryLater("no answer"))
            failures.append(sent[-1])
            database.execute("UPDATE lockstep_lane SET next_at = now(), attempts = 0")

    moves = {
        "write": lambda: rename_post(database, post, f"{next(versions):04}"),
        "fan out": steps.fan_out,
        "claim as event": lambda: claim(EVENT),
        "claim as state": lambda: claim(STATE),
        "settle": lambda: [steps.settle(claims.pop()) for _ in claims[:1]],
        "fail": fail,
        "flip": lambda: redeclare(database, chance.choice([EVENT, STATE])),
    }
    for _ in range(120):
        moves[chance.choice(list(moves))]()
    steps.fan_out()
    while waiting(database):
        moves["claim as state"]()
        moves["settle"]()
    assert len(sent) > 2
    assert sent == sorted(sent)
    assert Counter(sent) <= Counter(failures) + Counter(set(sent)), "sent again, and it had not failed"


@pytest.mark.parametrize(("error", "left"), [(DependencyPending("its parent"), 3), (RetryLater("no answer"), 1)])
def test_only_a_state_that_may_have_arrived_absorbs_earlier_changes(
    steps: Steps, database: psycopg.Connection, error: DeliveryError, left: int
):
    write(steps, database, STATE, "a", "b", "c")
    steps.settle(*steps.claim(STATE), error=error)
    assert database.execute("SELECT count(*) FROM lockstep_delivery").fetchone() == (left,)


def redeclare(database: psycopg.Connection, who: Subscriber) -> None:
    database.execute(UPKEEP["declare_subscription"], who.row)


@pytest.mark.slow
def test_a_thousand_stale_acks_change_nothing(steps: Steps, database: psycopg.Connection):
    steps.declare(EVENT)
    database.execute("INSERT INTO posts_post (title, body) SELECT n, '' FROM generate_series(1, 1000) AS n")
    steps.fan_out()
    stale = steps.claim(EVENT, limit=1_000)
    database.execute("UPDATE lockstep_lane SET next_at = now()")
    current = steps.claim(EVENT, limit=1_000)
    everything = "SELECT * FROM lockstep_lane lane JOIN lockstep_delivery d ON d.lane_id = lane.id ORDER BY d.seq"
    before = database.execute(everything).fetchall()
    assert steps.settle(*stale[:400]) == 0
    assert steps.settle(*stale[400:700], error=RetryLater("busy")) == 0
    assert steps.settle(*stale[700:], error=Rejected("no")) == 0
    assert len(stale) == len(before) == 1_000
    assert database.execute(everything).fetchall() == before
    assert database.execute("SELECT count(*) FROM lockstep_deadletter").fetchone() == (0,)
    assert steps.settle(*current) == 1_000


def test_a_scan_from_a_floor_finds_later_lanes(steps: Steps, database: psycopg.Connection):
    scan_floor = ScanFloor()
    write(steps, database, EVENT, "first")
    steps.settle(*steps.claim(EVENT, scan_floor=scan_floor))
    assert scan_floor.moment > BEGINNING
    for title in ("second", "third"):
        write(steps, database, EVENT, title)
        [claim] = steps.claim(EVENT, scan_floor=scan_floor)
        steps.settle(claim)
    write(steps, database, EVENT, "late")
    database.execute("UPDATE lockstep_lane SET next_at = now() - interval '1 hour'")
    assert steps.claim(EVENT, scan_floor=scan_floor) == []
    scan_floor.reset()
    assert len(steps.claim(EVENT, scan_floor=scan_floor)) == 1


def test_a_token_never_returns_with_a_lane_that_does(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, EVENT, "a")
    [first] = steps.claim(EVENT)
    steps.settle(first)
    rename_post(database, post, "b")
    steps.fan_out()
    [second] = steps.claim(EVENT)
    assert second.token != first.token
    assert steps.settle(first) == 0


def test_a_failed_delivery_waits_at_the_head_of_its_lane(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    steps.settle(*steps.claim(EVENT), error=RetryLater("busy"))
    assert steps.claim(EVENT) == []
    assert lane(database, "failure") == "failed"
    assert lane(database, "cause") == "RetryLater: busy"
    assert lane(database, "next_at - now() BETWEEN '3.5 s' AND '6 s'")
    database.execute("UPDATE lockstep_lane SET next_at = now()")
    assert steps.claim(EVENT)[0].change.after["title"] == "a"


def test_a_lane_that_waits_for_another_delivery_waits_by_its_age_and_loses_no_attempt(
    steps: Steps, database: psycopg.Connection
):
    write(steps, database, EVENT, "a")
    for _ in range(len(SCHEDULE) + 2):
        steps.settle(*steps.claim(EVENT), error=DependencyPending("its parent"))
        assert lane(database, "failure = 'not yet' AND next_at - now() BETWEEN '0 s' AND '30 s'")
        database.execute("UPDATE lockstep_lane SET next_at = now()")
    assert steps.claim(EVENT)[0].attempts == 1


def test_a_refused_delivery_is_a_dead_letter_and_the_lane_goes_on(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, EVENT, "a", "b")
    [claim] = steps.claim(EVENT)
    steps.settle(claim, error=Rejected("422: no title"))
    columns = "object_id, seq, message_id, attempts, cause"
    letters = database.execute(f"SELECT {columns} FROM lockstep_deadletter").fetchall()
    assert letters == [(post, claim.change.seq, claim.message_id, 1, "Rejected: 422: no title")]
    assert steps.claim(EVENT)[0].change.after["title"] == "b"


def test_a_cause_with_nul_characters_is_stored(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    steps.settle(*steps.claim(EVENT), error=Rejected("oops \0 here"))
    assert database.execute("SELECT cause FROM lockstep_deadletter").fetchone() == ("Rejected: oops \ufffd here",)


def test_the_last_attempt_ends_as_a_dead_letter(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    for _ in SCHEDULE:
        steps.settle(*steps.claim(EVENT), error=RetryLater("busy"))
        database.execute("UPDATE lockstep_lane SET next_at = now()")
    assert database.execute("SELECT attempts FROM lockstep_deadletter").fetchone() == (len(SCHEDULE),)
    assert lane(database, "id") is None


def test_a_success_begins_the_count_of_attempts_anew(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    steps.settle(*steps.claim(EVENT), error=RetryLater("busy"))
    database.execute("UPDATE lockstep_lane SET next_at = now()")
    steps.settle(*steps.claim(EVENT))
    assert steps.claim(EVENT)[0].attempts == 1


def test_a_held_lane_is_not_claimed_and_not_held_twice(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, STATE, "a")
    held = steps.hold(STATE, post)
    assert held
    assert steps.claim(STATE) == []
    assert steps.hold(STATE, post) is None
    steps.release(held)
    assert [claim.change.after["title"] for claim in steps.claim(STATE)] == ["a"]


def test_a_lane_that_a_worker_has_cannot_be_held(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, STATE, "a")
    steps.claim(STATE)
    assert steps.hold(STATE, post) is None


def test_a_lane_that_waits_after_a_failure_can_be_held(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, STATE, "a")
    steps.settle(*steps.claim(STATE), error=RetryLater("busy"))
    assert steps.hold(STATE, post)


def test_an_empty_held_lane_is_deleted(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, STATE, "a")
    steps.settle(*steps.claim(STATE))
    held = steps.hold(STATE, post)
    assert held
    steps.release(held)
    assert lane(database, "id") is None


def test_a_held_lane_whose_holder_died_goes_once_its_lease_ends(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, STATE, "a")
    steps.settle(*steps.claim(STATE))
    assert steps.hold(STATE, post)
    database.execute("UPDATE lockstep_lane SET next_at = now()")
    assert steps.claim(STATE) == []
    assert lane(database, "id") is None


def test_a_change_that_is_fanned_out_while_its_lane_is_acked_is_not_lost(steps: Steps, database: psycopg.Connection):
    """The ack waits for the fan-out that touched the lane, and then sees what it placed."""
    post = write(steps, database, EVENT, "a")
    [claim] = steps.claim(EVENT)
    rename_post(database, post, "b")
    with psycopg.connect(database_url()) as relaying:
        relaying.execute("SELECT FROM lockstep_lane FOR UPDATE")  # as fan_out's upsert does
        acking = threading.Thread(target=steps.settle, args=(claim,))
        acking.start()
        relaying.execute(
            "INSERT INTO lockstep_delivery (lane_id, seq, at) SELECT %s, seq, at FROM lockstep_change"
            " WHERE model = 'posts.post' AND kind = 'updated'",
            [claim.lane],
        )
        eventually(lambda: any_lock_waiter(database))
    acking.join()
    assert [title for _, title in waiting(database)] == ["b"]
    assert lane(database, "next_at <= now()")


@pytest.mark.parametrize("who", [EVENT, *registered()], ids=lambda who: who.name)
def test_a_lease_outlasts_its_deadline(who: Subscriber):
    assert who.lease > who.deadline


def test_delays_follow_the_schedule_and_end_after_it():
    for n, seconds in enumerate(SCHEDULE[1:], 1):
        assert seconds * (1 - JITTER) <= delay_after(n, RetryLater("")) <= seconds * (1 + JITTER)
    assert delay_after(len(SCHEDULE), RetryLater("")) is None


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("120", 120, 120), ("1", 4, 6), ("18000", 18_000, 18_000), ("1" * 9, 36_000, 36_000)]
)
def test_retry_after_is_honoured_up_to_ten_hours(asked: str, least: float, most: float):
    assert least <= delay_after(1, RetryLater("", after=retry_after_seconds(asked))) <= most


def test_a_refusal_is_never_retried_and_silence_is():
    claim = None
    assert Outcome(claim).delay is None
    assert delay_after(1, Rejected("")) is None
    assert delay_after(1, Unreachable("")) > 0
