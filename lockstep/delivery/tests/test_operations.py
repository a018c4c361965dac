"""What operators do: nothing they replay, pause or rewind is lost, doubled in a lane or sent out of order."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection, connections

from conftest import database_url
from lockstep.delivery import operations
from lockstep.delivery.errors import Rejected, RetryLater
from lockstep.delivery.models import DeadLetter
from lockstep.delivery.operations import OPERATIONS, NotInLog, UnknownSubscription, WrongState
from lockstep.delivery.relay import RELAY
from lockstep.delivery.reports import ChangeFilter, ReplayResult
from lockstep.delivery.subscriptions import Subscriber
from lockstep.delivery.tests.support import (
    EVENT,
    STATE,
    Steps,
    bury,
    deliver,
    drop_from_log,
    insert_post,
    rename_post,
    subscriber,
    title_of,
    waiting,
    write,
)
from tests.support import any_lock_waiter, eventually

ALL = ChangeFilter("test")


def test_status_counts_behind_waiting_and_failing(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    write(steps, database, EVENT, "c")
    [first, _] = steps.claim(EVENT)
    steps.settle(first, error=RetryLater("later"))
    insert_post(database, "not fanned out")
    [status] = operations.status()
    assert (status.behind, status.waiting, status.objects, status.failing, status.dead) == (1, 3, 2, 1, 0)
    assert status.age is not None


def test_status_within_a_window_counts_each_change_once(steps: Steps, database: psycopg.Connection):
    steps.declare(EVENT)
    for n in range(5):
        insert_post(database, f"{n}")
    steps.fan_out(chunk=2)
    insert_post(database, "later")
    [status] = operations.status()
    assert status.behind + status.waiting == 6


def test_a_replayed_dead_letter_keeps_its_message_id(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    dead = bury(steps, EVENT)
    assert operations.preview_letters(ALL).changes == 1
    assert operations.replay_letters(ALL) == ReplayResult(changes=1, objects=1)
    [again] = steps.claim(EVENT)
    assert (again.message_id, again.change) == (dead.message_id, dead.change)
    assert DeadLetter.objects.get().outcome == "replayed"
    assert operations.dead_letters(ALL) == []
    assert operations.replay_letters(ALL) == ReplayResult(changes=0, objects=0)


def test_a_replayed_event_goes_before_later_ones_that_wait(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b", "c")
    bury(steps, EVENT)
    operations.replay_letters(ALL)
    assert deliver(steps, EVENT) == ["a", "b", "c"]


def test_an_event_replayed_while_a_later_one_is_being_delivered_is_not_lost(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    bury(steps, EVENT)
    [b] = steps.claim(EVENT)
    operations.replay_letters(ALL)
    assert steps.claim(EVENT) == []
    steps.settle(b)
    assert deliver(steps, EVENT) == ["a"]


def test_a_state_subscription_is_sent_the_latest_state_and_never_an_old_one(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, STATE, "a")
    bury(steps, STATE)
    rename_post(database, post, "b")
    steps.fan_out()
    assert deliver(steps, STATE) == ["b"]
    operations.replay_letters(ALL)
    assert deliver(steps, STATE) == ["b"]


def test_a_lane_that_waits_after_a_failure_is_due_at_once(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    bury(steps, EVENT)
    for _ in range(2):
        database.execute("UPDATE lockstep_lane SET next_at = now()")
        steps.settle(*steps.claim(EVENT), error=RetryLater("later"))
    assert steps.claim(EVENT) == []
    operations.replay_letters(ALL)
    assert deliver(steps, EVENT) == ["a", "b"]


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        ({"cause": "FULL"}, 1),
        ({"cause": "100%"}, 0),
        ({"model": "posts.post"}, 2),
        ({"model": "posts.comment"}, 0),
        ({"object_id": "nobody"}, 0),
        ({"since": datetime.now(UTC) + timedelta(hours=1)}, 0),
        ({"until": datetime.now(UTC) + timedelta(hours=1)}, 2),
        ({"letters": ()}, 0),
    ],
)
def test_dead_letters_are_selected_by_the_filter(steps: Steps, database: psycopg.Connection, choice: dict, count: int):
    write(steps, database, EVENT, "a")
    bury(steps, EVENT, "the disk is full")
    write(steps, database, EVENT, "b")
    bury(steps, EVENT, "a mistake")
    assert len(operations.dead_letters(ChangeFilter("test", **choice))) == count


def bury_some(steps: Steps, database: psycopg.Connection, who: Subscriber, *titles: str) -> list[str]:
    """A post and a dead letter for each title, and one post that is delivered; returns the posts."""
    steps.declare(who)
    posts = [insert_post(database, title) for title in (*titles, "fine")]
    steps.fan_out()
    claims = sorted(steps.claim(who), key=lambda claim: claim.change.seq)
    for claim in claims[:-1]:
        steps.settle(claim, error=Rejected("no"))
    steps.settle(claims[-1])
    return posts


def test_dead_letters_replayed_after_a_rewind_to_later_are_sent(steps: Steps, database: psycopg.Connection):
    """After a rewind the window begins before everything; what is before its number was fanned out all the same."""
    bury_some(steps, database, EVENT, "a", "b", "c", "d", "e")
    operations.pause("test", reason="maintenance")
    ((later,),) = database.execute("SELECT max(at) FROM lockstep_change").fetchall()
    assert operations.rewind("test", since=later) is True
    assert operations.preview_letters(ALL).changes == 5
    assert operations.replay_letters(ALL) == ReplayResult(changes=5, objects=5)
    operations.resume("test")
    while steps.behind():
        steps.fan_out()
    assert sorted(deliver(steps, EVENT)) == ["a", "b", "c", "d", "e", "fine"]
    assert [status.dead for status in operations.status()] == [0]


@pytest.mark.parametrize("who", [EVENT, STATE], ids=["event", "state"])
def test_dead_letters_not_yet_fanned_out_again_stay_open(steps: Steps, database: psycopg.Connection, who: Subscriber):
    bury_some(steps, database, who, "a", "b", "c")
    operations.rewind("test")
    steps.fan_out(chunk=2)
    preview = operations.preview_letters(ALL)
    assert (preview.changes, preview.not_fanned_out, preview.not_in_log) == (2, 1, 0)
    assert operations.replay_letters(ALL) == ReplayResult(changes=0, objects=2, not_fanned_out=1)
    [left] = operations.dead_letters(ALL)
    assert operations.replay_message("test", left.message_id) == ReplayResult(changes=0, objects=0, not_fanned_out=1)
    while steps.behind():
        steps.fan_out()
    assert sorted(deliver(steps, who)) == ["a", "b", "c", "fine"]
    assert operations.replay_letters(ALL) == ReplayResult(changes=1, objects=1)
    assert deliver(steps, who) == ["c"]


def test_a_rewind_and_a_settlement_do_not_wait_for_each_other_in_a_circle(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    write(steps, database, EVENT, "b")

    def rewind() -> bool:
        try:
            return operations.rewind("test")
        finally:
            connections.close_all()

    with psycopg.connect(database_url()) as settling, ThreadPoolExecutor(1) as executor:
        settling.execute("SELECT FROM lockstep_lane ORDER BY model, object_id FOR UPDATE")
        settling.execute("DELETE FROM lockstep_delivery WHERE seq = (SELECT max(seq) FROM lockstep_delivery)")
        rewinding = executor.submit(rewind)
        eventually(lambda: any_lock_waiter(database))
        settling.execute("DELETE FROM lockstep_delivery")
        settling.commit()
        assert rewinding.result()
    steps.fan_out()
    assert sorted(deliver(steps, EVENT)) == ["a", "b"]


@pytest.mark.parametrize("who", [EVENT, STATE], ids=["event", "state"])
def test_dead_letters_without_their_change_stay_open_and_are_named(
    steps: Steps, database: psycopg.Connection, who: Subscriber
):
    first, *_ = bury_some(steps, database, who, "a", "b")
    drop_from_log(database, first)
    assert operations.preview_letters(ALL).not_in_log == 1
    assert operations.replay_letters(ALL) == ReplayResult(changes=1, objects=1, not_in_log=1)
    [left] = operations.dead_letters(ALL)
    assert left.object_id == first
    with pytest.raises(NotInLog, match="no longer in the log"):
        operations.replay_message("test", left.message_id)
    assert deliver(steps, who) == ["b"]
    assert operations.preview_discard(ALL).changes == 1
    assert operations.discard_letters(ALL, reason="too old") == 1


def test_a_later_state_stands_for_one_that_is_gone(steps: Steps, database: psycopg.Connection):
    post, _ = bury_some(steps, database, STATE, "a")
    drop_from_log(database, post)
    rename_post(database, post, "b")
    steps.fan_out()
    deliver(steps, STATE)
    assert operations.replay_letters(ALL) == ReplayResult(changes=1, objects=1)
    assert deliver(steps, STATE) == ["b"]


def test_a_discarded_dead_letter_is_kept_with_the_reason(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    bury(steps, EVENT)
    assert operations.discard_letters(ALL, reason="not wanted") == 1
    letter = DeadLetter.objects.get()
    assert (letter.outcome, letter.reason) == ("discarded", "not wanted")
    assert letter.settled
    assert (operations.dead_letters(ALL), operations.replay_letters(ALL).changes) == ([], 0)
    assert [status.dead for status in operations.status()] == [0]


def test_a_span_is_sent_again_in_order(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b", "c")
    deliver(steps, EVENT)
    times = [at for (at,) in database.execute("SELECT at FROM lockstep_change ORDER BY seq").fetchall()]
    span = ChangeFilter("test", since=times[1])
    assert operations.preview_span(span).changes == 2
    assert operations.replay_span(span) == ReplayResult(changes=2, objects=1)
    assert operations.replay_span(span) == ReplayResult(changes=0, objects=1)
    assert deliver(steps, EVENT) == ["b", "c"]
    assert operations.replay_span(ChangeFilter("test", until=times[1])) == ReplayResult(changes=1, objects=1)


def rewind_and_fan_out(steps: Steps) -> None:
    operations.rewind("test")
    while steps.behind():
        steps.fan_out()


@pytest.mark.parametrize("send_again", [rewind_and_fan_out, lambda steps: operations.replay_span(ALL)])
def test_replay_of_a_delivery_in_flight_comes_after_earlier_changes(
    steps: Steps, database: psycopg.Connection, send_again: Callable[[Steps], object]
):
    """Otherwise the receiver's last message about the object would be an earlier change."""
    post = write(steps, database, EVENT, "a", "b")
    deliver(steps, EVENT)
    rename_post(database, post, "c")
    steps.fan_out()
    [under_way] = steps.claim(EVENT)
    send_again(steps)
    assert steps.claim(EVENT) == []
    steps.settle(under_way)
    database.execute("UPDATE lockstep_lane SET next_at = now()")  # its lease has ended
    assert deliver(steps, EVENT) == ["a", "b", "c"]


def test_a_replay_does_not_delay_the_delivery_of_the_same_change(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    [under_way] = steps.claim(EVENT)
    operations.replay_span(ALL)
    steps.settle(under_way)
    assert deliver(steps, EVENT) == ["b"]


def test_a_lane_that_waits_after_a_failure_begins_anew_with_a_rewind(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b")
    steps.settle(*steps.claim(EVENT), error=RetryLater("later", after=36_000.0))
    rewind_and_fan_out(steps)
    [again] = steps.claim(EVENT)
    assert (title_of(again), again.attempts) == ("a", 1)


def test_replay_leaves_changes_not_yet_fanned_out_to_the_relay(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    insert_post(database, "new")
    assert operations.replay_span(ALL).changes == 0
    steps.fan_out()
    assert sorted(deliver(steps, EVENT)) == ["a", "new"]


def test_a_paused_subscription_delivers_nothing_and_loses_nothing(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    operations.pause("test", reason="maintenance")
    insert_post(database, "meanwhile")
    assert (steps.fan_out(), steps.claim(EVENT)) == (0, [])
    [status] = operations.status()
    assert (status.state, status.reason, status.behind, status.waiting) == ("paused", "maintenance", 1, 1)
    operations.resume("test")
    steps.fan_out()
    assert sorted(deliver(steps, EVENT)) == ["a", "meanwhile"]


def test_a_subscription_that_is_added_later_can_begin_with_all_that_the_log_has(
    steps: Steps, database: psycopg.Connection
):
    post = insert_post(database, "a")
    rename_post(database, post, "b")
    steps.declare(EVENT)
    assert operations.rewind("test") is True
    while steps.behind():
        steps.fan_out(chunk=1)
    assert deliver(steps, EVENT) == ["a", "b"]


def test_a_rewind_sends_later_changes_again_and_waiting_ones_once(steps: Steps, database: psycopg.Connection):
    post = write(steps, database, EVENT, "a", "b")
    deliver(steps, EVENT)
    rename_post(database, post, "c")
    steps.fan_out()
    rename_post(database, post, "d")
    since = database.execute("SELECT at FROM lockstep_change ORDER BY seq OFFSET 1").fetchone()
    assert since
    assert operations.rewind("test", since=since[0]) is True
    while steps.behind():
        steps.fan_out()
    assert deliver(steps, EVENT) == ["b", "c", "d"]
    assert waiting(database) == []


def test_a_rewind_keeps_waiting_deliveries_that_its_window_lacks(steps: Steps, database: psycopg.Connection):
    """A letter of what is not followed any more, replayed; a message that was sent to this subscription alone."""
    post = write(steps, database, EVENT, "created", "updated")
    bury(steps, EVENT)
    follow(database, "posts.post.updated")
    database.execute("UPDATE lockstep_subscription SET skip_origin = 'tests'")
    assert operations.replay_letters(ALL).changes == 1
    operations.send("test", model="tests.test", object_id=post, after={"title": "a test"})
    operations.rewind("test")
    while steps.behind():
        steps.fan_out()
    assert sorted(deliver(steps, EVENT)) == ["a test", "created", "updated"]
    assert waiting(database) == []


def test_a_delivery_kept_by_a_rewind_and_followed_again_waits_once(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "created", "updated")
    follow(database, "posts.post.updated")
    operations.rewind("test")
    follow(database, "posts.post.*")
    while steps.behind():
        steps.fan_out()
    assert deliver(steps, EVENT) == ["created", "updated"]


def follow(database: psycopg.Connection, pattern: str) -> None:
    database.execute("UPDATE lockstep_subscription SET follows = %s WHERE name = 'test'", [[pattern]])


def test_a_rewind_includes_changes_numbered_early_and_committed_late(steps: Steps, database: psycopg.Connection):
    steps.declare(EVENT)
    with psycopg.connect(database_url()) as slow:
        insert_post(slow, "early and late")
        insert_post(database, "quick")
        steps.fan_out()
        slow.commit()
    since = database.execute("SELECT at FROM lockstep_change ORDER BY seq OFFSET 1").fetchone()
    assert since
    operations.rewind("test", since=since[0])
    while steps.behind():
        steps.fan_out()
    assert sorted(deliver(steps, EVENT)) == ["early and late", "quick"]


def test_a_rewind_loses_no_change_committed_during_it(steps: Steps, database: psycopg.Connection):
    """Its number was drawn before the one that the rewind found, and its transaction ends before the window is made."""
    steps.declare(EVENT)
    with psycopg.connect(database_url()) as slow:
        insert_post(slow, "early and late")
        insert_post(database, "quick")
        steps.fan_out()
        deliver(steps, EVENT)
        found = OPERATIONS["rewind_to"]
        since = {"subscription": "test", "since": operations.EVERYTHING}
        with connection.cursor() as cursor:
            cursor.execute(found, since)
            [(seq, end)] = cursor.fetchall()
            slow.commit()
            cursor.execute(OPERATIONS["rewind"], {"subscription": "test", "seq": seq, "end": end})
    while steps.behind():
        steps.fan_out()
    assert sorted(deliver(steps, EVENT)) == ["early and late", "quick"]


def test_a_second_rewind_does_not_go_back_to_the_first(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a", "b", "c", "d")
    deliver(steps, EVENT)
    times = [at for (at,) in database.execute("SELECT at FROM lockstep_change ORDER BY seq").fetchall()]
    operations.rewind("test", since=times[2])
    operations.rewind("test", since=times[3])
    while steps.behind():
        steps.fan_out()
    assert deliver(steps, EVENT) == ["c", "d"]


STATES: dict[str, Callable[[], object]] = {
    "active": lambda: None,
    "paused": lambda: operations.pause("test", reason="maintenance"),
    "full": lambda: fill("test"),
    "disabled": lambda: operations.disable("test", reason="nobody listens"),
}
ACTIONS: dict[str, Callable[[], object]] = {
    "pause": lambda: operations.pause("test", reason="an operator's word"),
    "resume": lambda: operations.resume("test"),
    "rewind": lambda: operations.rewind("test"),
    "replay letters": lambda: operations.replay_letters(ALL),
    "replay a span": lambda: operations.replay_span(ALL),
    "discard": lambda: operations.discard_letters(ALL, reason="too old"),
    "disable": lambda: operations.disable("test", reason="by its owner"),
    "enable": lambda: operations.enable("test"),
}
AFTER = {  # docs/operations.md; what is not here is refused
    "active": {"pause": "paused", "disable": "disabled"}
    | dict.fromkeys(ACTIONS.keys() - {"pause", "disable"}, "active"),
    "paused": {"resume": "active", "disable": "disabled"}
    | dict.fromkeys(ACTIONS.keys() - {"resume", "disable"}, "paused"),
    "full": {"pause": "paused", "disable": "disabled"}
    | dict.fromkeys(ACTIONS.keys() - {"pause", "disable", "resume"}, "full"),
    "disabled": dict.fromkeys(("pause", "discard", "disable"), "disabled") | {"enable": "active"},
}


def fill(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(OPERATIONS["leave_place"], {"subscription": name})
        cursor.execute(RELAY["fill"], {"subscription": name, "reason": "much waits"})


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", STATES)
def test_each_operation_in_each_state_of_a_subscription(
    steps: Steps, database: psycopg.Connection, state: str, action: str
):
    for name in ("test", "other"):
        steps.declare(subscriber(name))
    insert_post(database, "a")
    steps.fan_out()
    bury(steps, EVENT)
    steps.fan_out()
    STATES[state]()
    if action in AFTER[state]:
        ACTIONS[action]()
        after = AFTER[state][action]
    else:
        with pytest.raises(WrongState, match="test is"):
            ACTIONS[action]()
        after = state
    [_, status] = operations.status()
    assert status.state == after
    ((shared,),) = database.execute("SELECT count(DISTINCT place_id) = 1 FROM lockstep_subscription").fetchall()
    assert shared == (state == after == "active" and action != "rewind")


def test_a_pause_outlives_being_disabled(steps: Steps, database: psycopg.Connection):
    """It is the operator's word; its owner who switches it off and on does not take it back."""
    steps.declare(EVENT)
    operations.pause("test", reason="it hurts")
    operations.disable("test", reason="by its owner")
    operations.enable("test")
    [status] = operations.status()
    assert (status.state, status.reason) == ("paused", "it hurts")
    operations.disable("test", reason="by its owner")
    operations.resume("test")
    assert [status.state for status in operations.status()] == ["disabled"]
    operations.enable("test")
    assert [status.state for status in operations.status()] == ["active"]


def test_a_rewind_without_changes_has_no_effect(steps: Steps, database: psycopg.Connection):
    write(steps, database, EVENT, "a")
    assert operations.rewind("test", since=datetime.now(UTC) + timedelta(hours=1)) is False
    assert deliver(steps, EVENT) == ["a"]


def test_operations_refuse_unknown_subscriptions(steps: Steps):
    for operation in (
        operations.dead_letters,
        operations.replay_letters,
        operations.preview_span,
        operations.replay_span,
    ):
        with pytest.raises(UnknownSubscription):
            operation(ChangeFilter("nobody"))
    with pytest.raises(UnknownSubscription):
        operations.pause("nobody", reason="")
    with pytest.raises(UnknownSubscription):
        operations.rewind("nobody")
