"""`manage.py lockstep`: what it says, as a table and as JSON, and what it refuses."""

import json
import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from lockstep.delivery import operations
from lockstep.delivery.errors import RetryLater
from lockstep.delivery.tests.support import (
    EVENT,
    Steps,
    bury,
    deliver,
    drop_from_log,
    insert_post,
    subscriber,
    write,
)
from lockstep.management import arguments as given
from lockstep.management.commands import lockstep as command
from lockstep.mirror.tests.support import run_command

HOUR_AGO = "1h"


@pytest.fixture
def dead(steps: Steps, database: psycopg.Connection) -> Steps:
    """A subscription with one dead letter."""
    write(steps, database, EVENT, "a")
    bury(steps, EVENT, "the remote refuses")
    return steps


def lockstep(*arguments: str) -> str:
    code, said = run_command("lockstep", *arguments)
    assert code == 0, said
    return said


def test_status_is_a_table_or_json(dead: Steps, database: psycopg.Connection):
    insert_post(database, "new")
    header, row, remark = lockstep("status").splitlines()
    assert " ".join(header.split()) == "subscription state behind waiting objects failing dead letters oldest reason"
    assert row.split()[:7] == ["test", "active", "1", "0", "0", "0", "1"]
    assert remark == "No worker delivers: none is running: manage.py lockstep worker"
    [status] = json.loads(lockstep("status", "--json"))
    assert (status["name"], status["behind"], status["dead"]) == ("test", 1, 1)


def test_status_says_which_remote_does_not_answer(dead: Steps, database: psycopg.Connection):
    """It said `active`, and nothing else."""
    note = "SET silent_since = '2026-11-21T12:04+00', silent_cause = 'Unreachable: connection refused'"
    database.execute(f"UPDATE lockstep_subscription {note}")
    text = "has taken nothing since 2026-11-21 12:04 UTC (Unreachable: connection refused)"
    assert lockstep("status").splitlines()[1].endswith(text)
    [status] = json.loads(lockstep("status", "--json"))
    assert (status["state"], status["reason"]) == ("active", text)
    assert datetime.fromisoformat(status["silent_since"]) == datetime(2026, 11, 21, 12, 4, tzinfo=UTC)
    database.execute("UPDATE lockstep_subscription SET state = 'full', reason = '9 changes wait'")
    assert f"9 changes wait; {text}" in lockstep("status")
    lockstep("pause", "test", "--reason", "maintenance")
    assert "has taken nothing" not in lockstep("status")


def test_status_says_why_an_object_fails(dead: Steps, database: psycopg.Connection):
    """It said `failing 1`, and no cause."""
    insert_post(database, "new")
    dead.fan_out()
    [claim] = dead.claim(EVENT)
    assert json.loads(lockstep("status", "--json"))[0]["reason"] == ""
    dead.settle(claim, error=RetryLater("ValueError: boom\n" + "at length " * 200))
    [status] = json.loads(lockstep("status", "--json"))
    assert (status["state"], status["failing"]) == ("active", 1)
    assert re.fullmatch(r"fails \(RetryLater: ValueError: boom at length .{,180}…\)", status["reason"])
    assert re.search(r"not declared in the code: .*; fails \(RetryLater: ValueError: boom ", lockstep("status"))
    lockstep("pause", "test", "--reason", "maintenance")
    assert json.loads(lockstep("status", "--json"))[0]["reason"] == "maintenance"


def test_times_ago_are_of_the_clock_of_the_database(dead: Steps, monkeypatch: pytest.MonkeyPatch):
    """On a machine whose clock was two hours fast `--since 1h` sent nothing again."""
    fast = datetime.now(UTC) + timedelta(hours=2)
    monkeypatch.setattr(given, "datetime", type("Fast", (datetime,), {"now": classmethod(lambda cls, zone: fast)}))
    assert lockstep("replay-changes", "test", "--since", "1h", "--plan").startswith("Would replay 1 change ")


def test_dead_letters_have_their_cause(dead: Steps):
    assert "Rejected: the remote refuses" in lockstep("dead-letters", "test")
    [letter] = json.loads(lockstep("dead-letters", "test", "--json"))
    assert letter["cause"] == "Rejected: the remote refuses"
    assert lockstep("dead-letters", "test", "--cause", "nothing like it") == "No dead letters.\n"
    assert lockstep("dead-letters", "test", letter["id"]) != "No dead letters.\n"


def test_a_plan_changes_nothing(dead: Steps):
    assert lockstep("replay", "test", "--all", "--plan").startswith("Would replay 1 change of 1 object, from ")
    assert lockstep("discard", "test", "--all", "--reason", "r", "--plan").startswith("Would discard 1 change of")
    assert lockstep("replay-changes", "test", "--since", HOUR_AGO, "--plan").startswith("Would replay 1 change ")
    assert lockstep("replay-changes", "test", "--since", "0s", "--plan") == "Nothing to replay.\n"
    assert len(json.loads(lockstep("dead-letters", "test", "--json"))) == 1
    assert deliver(dead, EVENT) == []


def test_a_plan_of_a_subscription_changes_nothing(dead: Steps):
    assert lockstep("pause", "test", "--reason", "maintenance", "--plan") == "Would pause test.\n"
    [status] = json.loads(lockstep("status", "--json"))
    assert (status["state"], status["reason"]) == ("active", "")
    lockstep("pause", "test", "--reason", "maintenance")
    assert lockstep("resume", "test", "--plan") == "Would resume test.\n"
    assert json.loads(lockstep("status", "--json"))[0]["state"] == "paused"
    assert lockstep("remove", "test", "--plan") == "Would remove test with 0 waiting changes and 1 dead letter.\n"
    assert json.loads(lockstep("status", "--json"))[0]["dead"] == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("replay", "test", "--all", "--plan"), {"changes": 1, "objects": 1, "not_fanned_out": 0, "not_in_log": 0}),
        (("replay", "test", "--all"), {"changes": 1, "objects": 1, "not_fanned_out": 0, "not_in_log": 0}),
        (("replay-changes", "test", "--since", HOUR_AGO), {"changes": 1, "objects": 1}),
        (("rewind", "test", "--all", "--plan"), {"changes": 1, "objects": 1}),
        (("discard", "test", "--all", "--reason", "r"), {"discarded": 1}),
        (("pause", "test", "--reason", "r"), {"state": "paused"}),
        (("resume", "test"), {"state": "active"}),
        (("remove", "test"), {"waiting": 0, "dead": 1}),
        (("resync", "posts.post", "--plan"), {"created": 0, "updated": 0, "deleted": 0}),
        (("uninstall", "--plan"), {}),
    ],
)
def test_results_are_json_for_other_programs(dead: Steps, arguments: tuple[str, ...], expected: dict):
    found = json.loads(lockstep(*arguments, "--json"))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.django_db
def test_resync_refuses_a_model_that_is_not_captured():
    """Messages to one endpoint are in the log under a model of their own, which has no table."""
    code, said = run_command("lockstep", "resync", "webhooks.test", "--plan")
    assert code == 1
    assert "there is no model 'webhooks.test'" in said


@pytest.mark.django_db
def test_resync_accepts_djangos_spelling_of_a_model():
    assert run_command("lockstep", "resync", "posts.Post", "--plan")[0] == 0


def test_check_reports_faults_of_the_database(
    dead: Steps, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    assert lockstep("check") == "Everything is as it should be.\n"
    assert json.loads(lockstep("check", "--json")) == []
    trigger = "TRIGGER lockstep_capture_insert"
    database.execute(f"ALTER TABLE posts_post DISABLE {trigger}")
    try:
        code, said = run_command("lockstep", "check")
    finally:
        database.execute(f"ALTER TABLE posts_post ENABLE ALWAYS {trigger}")
    assert (code, "lockstep.E004" in said, "There are errors." in said) == (1, True, True)
    monkeypatch.setattr(command, "migrations_are_pending", lambda using: True)
    code, said = run_command("lockstep", "check")
    assert (code, "run `manage.py migrate`" in said) == (1, True)


def test_replays_and_rewinds_report_what_they_send(dead: Steps):
    assert lockstep("replay", "test", "--cause", "refuses") == "Replaying 1 change of 1 object.\n"
    assert deliver(dead, EVENT) == ["a"]
    assert lockstep("replay-changes", "test", "--since", HOUR_AGO) == "Replaying 1 change of 1 object.\n"
    assert deliver(dead, EVENT) == ["a"]
    assert lockstep("rewind", "test", "--all", "--plan").startswith("Would send again 1 change of 1 object, from ")
    dead.fan_out()
    assert deliver(dead, EVENT) == []
    said = lockstep("rewind", "test", "--all")
    assert re.fullmatch(
        r"test starts again at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: 1 change of 1 object go out again\.\n", said
    )
    dead.fan_out()
    assert deliver(dead, EVENT) == ["a"]
    assert lockstep("rewind", "test", "--since", "0s") == "The log has nothing since then.\n"


def test_a_replay_reports_what_it_cannot_send(dead: Steps, database: psycopg.Connection):
    lockstep("rewind", "test", "--all")
    left = "Not fanned out yet: 1 change, which go out by themselves. Their dead letters stay open.\n"
    assert lockstep("replay", "test", "--all", "--plan") == f"Nothing to replay.\n{left}"
    assert lockstep("replay", "test", "--all") == f"Nothing to replay.\n{left}"
    said = lockstep("replay-changes", "test", "--since", HOUR_AGO)
    assert said == "Nothing to replay.\nNot fanned out yet: 1 change, which go out by themselves.\n"
    dead.fan_out()
    deliver(dead, EVENT)
    drop_from_log(database)
    left = "No longer in the log: 1 change. Their dead letters stay open: discard them.\n"
    assert lockstep("replay", "test", "--all", "--plan") == f"Nothing to replay.\n{left}"
    assert lockstep("replay", "test", "--all") == f"Nothing to replay.\n{left}"
    discard = ("discard", "test", "--all", "--reason", "too old")
    assert lockstep(*discard, "--plan").startswith("Would discard 1 change of 1 object, from ")
    assert lockstep(*discard) == "Discarded 1 dead letter.\n"


def test_operations_without_meaning_are_refused_with_a_sentence(dead: Steps):
    operations.disable("test", reason="by its owner")
    for arguments in (("resume", "test"), ("rewind", "test", "--all"), ("replay", "test", "--all")):
        code, said = run_command("lockstep", *arguments)
        assert code == 1
        assert "test is disabled: it " in said
    assert lockstep("pause", "test", "--reason", "r") == "test is paused as soon as it is enabled.\n"
    assert lockstep("resume", "test") == "test is not paused any more; it is disabled still.\n"


def test_status_names_undeclared_subscriptions(dead: Steps):
    assert "not declared in the code" in lockstep("status")


def test_a_discard_closes_dead_letters(dead: Steps):
    assert lockstep("discard", "test", "--all", "--reason", "not wanted") == "Discarded 1 dead letter.\n"
    assert lockstep("dead-letters", "test") == "No dead letters.\n"


def test_a_pause_names_the_command_that_resumes(dead: Steps):
    assert "`manage.py lockstep resume test` sends them" in lockstep("pause", "test", "--reason", "maintenance")
    assert lockstep("status").splitlines()[1].split()[1] == "paused"
    assert "maintenance" in lockstep("status")
    lockstep("resume", "test")
    assert lockstep("status").splitlines()[1].split()[1] == "active"


def test_operations_without_effect_report_it(dead: Steps):
    lockstep("discard", "test", "--all", "--reason", "not wanted")
    assert lockstep("replay", "test", "--all") == "Nothing to replay.\n"
    assert lockstep("discard", "test", "--all", "--reason", "r") == "Nothing to discard.\n"
    assert lockstep("replay-changes", "test", "--since", "0s") == "Nothing to replay.\n"
    assert lockstep("resume", "test") == "test is active already; nothing was changed.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dead-letters", "nobody"), "There is no subscription 'nobody'. There are: other, test."),
        (("replay", "test"), "Name dead letters, or choose them by"),
        (("discard", "test", "--all"), "--reason"),
        (("replay-changes", "test"), "--since"),
        (("replay-changes", "test", "--since", "yesterday"), "'yesterday' is no time: say 2026-11-21T09:30"),
        (("replay-changes", "test", "--since", "99999999999999d"), "'99999999999999d' is no time"),
        (("replay-changes", "test", "--since", "9999999d"), "'9999999d' is no time"),
        (("pause", "test", "--reason", " "), "argument --reason: must not be empty"),
        (("discard", "test", "--all", "--reason", ""), "argument --reason: must not be empty"),
        (("dead-letters", "test", "7"), "7"),
        (("dead-letters",), "the following arguments are required: SUBSCRIPTION\n"),
        (("rewind", "test"), "one of the arguments --since --all is required"),
        (("rewind", "test", "--since", "1h", "--all"), "--all: not allowed with argument --since"),
    ],
)
def test_invalid_arguments_are_reported(dead: Steps, arguments: tuple[str, ...], message: str):
    dead.declare(subscriber("other"))
    code, said = run_command("lockstep", *arguments)
    assert code == 1
    assert message in f"{said}\n"
