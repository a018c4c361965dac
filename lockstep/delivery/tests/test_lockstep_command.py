"""`manage.py lockstep`: what it says, as a table and as JSON, and what it refuses."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.checks import Warning as CheckWarning
from django.core.management import CommandError, call_command

from lockstep.changes.tests.test_commands import Terminal
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


def steps_after(*arguments: str) -> list[str]:
    """What a person at a terminal reads beside the result."""
    out, err = Terminal(), Terminal()
    try:
        call_command("lockstep", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        assert error.returncode == 2, error
    return err.getvalue().splitlines()


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
        r"test starts again at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: 1 change of 1 object goes out again\.\n", said
    )
    dead.fan_out()
    assert deliver(dead, EVENT) == ["a"]
    assert lockstep("rewind", "test", "--since", "0s") == "The log has nothing since then.\n"


def test_a_replay_reports_what_it_cannot_send(dead: Steps, database: psycopg.Connection):
    lockstep("rewind", "test", "--all")
    left = "Not fanned out yet: 1 change, which goes out by itself. Its dead letter stays open.\n"
    assert lockstep("replay", "test", "--all", "--plan") == f"Nothing to replay.\n{left}"
    assert lockstep("replay", "test", "--all") == f"Nothing to replay.\n{left}"
    said = lockstep("replay-changes", "test", "--since", HOUR_AGO)
    assert said == "Nothing to replay.\nNot fanned out yet: 1 change, which goes out by itself.\n"
    dead.fan_out()
    deliver(dead, EVENT)
    drop_from_log(database)
    left = "No longer in the log: 1 change. Its dead letter stays open: discard it.\n"
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
    pause = ("pause", "test", "--reason", "maintenance")
    assert lockstep(*pause) == "test is paused. Its changes wait.\n"
    assert steps_after(*pause) == ["End the pause: `manage.py lockstep resume test`"]
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


def test_status_names_the_next_step_for_each_subscription(dead: Steps):
    letters = "1 dead letter: `manage.py lockstep dead-letters test`"
    assert letters in steps_after("status")
    assert letters not in lockstep("status")
    lockstep("pause", "test", "--reason", "maintenance")
    assert steps_after("status")[1:] == [
        letters,
        "test is paused: `manage.py lockstep resume test` sends what waits",
        "test is not declared: `manage.py lockstep remove test --plan` shows what it still has",
    ]
    for number in range(3):
        dead.declare(subscriber(f"other{number}"))
    assert steps_after("status")[-1] == "and 1 more"


@pytest.mark.parametrize(
    ("arguments", "step"),
    [
        (("dead-letters", "test"), "send again: `manage.py lockstep replay test --all`"),
        (("dead-letters", "test", "--limit", "1"), "There may be more: --limit 10 lists them."),
        (("replay", "test", "--all", "--plan"), "Without --plan the same command carries it out."),
        (("replay", "test", "--all"), "`manage.py lockstep status`"),
        (("replay-changes", "test", "--since", HOUR_AGO), "`manage.py lockstep status`"),
        (("discard", "test", "--all", "--reason", "r"), "`manage.py lockstep dead-letters test`"),
        (("rewind", "test", "--all"), "`manage.py lockstep status`"),
        (("remove", "test", "--plan"), "Without --plan the same command carries it out."),
        (("resync", "posts.post"), "`manage.py lockstep audit --no-outside`"),
        (("audit", "--no-outside"), "log = test: `manage.py lockstep dead-letters test`"),
    ],
    ids=" ".join,
)
def test_a_command_names_the_next_step(dead: Steps, arguments: tuple[str, ...], step: str):
    assert step in "\n".join(steps_after(*arguments))


def documented_members() -> dict[tuple[str, str], set[str]]:
    """The members of the JSON of each command and of its plan, as docs/reference.md has them."""
    text = Path(settings.BASE_DIR, "docs", "reference.md").read_text(encoding="utf-8")
    section = text.partition("\n## JSON of the commands\n")[2].partition("\n## ")[0]
    found = {}
    for names, kind, members in re.findall(r"^\| (`.*) \| (array|object) \| (`.*) \|$", section, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            found[name, kind] = set(re.findall(r"`(\w+)`", members))
    return found


EXAMPLES = {
    "status": ("status",),
    "dead-letters": ("dead-letters", "test"),
    "replay": ("replay", "test", "--all"),
    "replay --plan": ("replay", "test", "--all", "--plan"),
    "replay-changes": ("replay-changes", "test", "--since", HOUR_AGO),
    "replay-changes --plan": ("replay-changes", "test", "--since", HOUR_AGO, "--plan"),
    "discard": ("discard", "test", "--all", "--reason", "r"),
    "discard --plan": ("discard", "test", "--all", "--reason", "r", "--plan"),
    "rewind": ("rewind", "test", "--all"),
    "pause": ("pause", "test", "--reason", "r"),
    "resume": ("resume", "test"),
    "remove": ("remove", "test"),
    "audit": ("audit", "--no-outside"),
    "check": ("check",),
    "resync": ("resync", "posts.post"),
    "uninstall": ("uninstall", "--plan"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_json_has_the_documented_members(dead: Steps, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr(command, "run_checks", lambda databases: [CheckWarning("a", id="lockstep.W002")])
    code, said = run_command("lockstep", *EXAMPLES[name], "--json")
    assert code in (0, 2), said
    found = json.JSONDecoder().raw_decode(said)[0]
    kind = "array" if isinstance(found, list) else "object"
    assert set(found[0] if kind == "array" else found) == documented_members()[name, kind]


def test_the_reference_has_the_json_of_every_command():
    named = {name for name, _ in documented_members()}
    assert named == {*EXAMPLES, "manage.py reseal_secrets"}


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
