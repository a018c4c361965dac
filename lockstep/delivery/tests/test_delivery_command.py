"""`manage.py delivery`: what it says, as a table and as JSON, and what it refuses."""

import json
import re

import psycopg
import pytest

from lockstep.delivery.tests.support import Steps, insert_post, subscriber
from lockstep.delivery.tests.test_operations import EVENT, bury, deliver, write
from lockstep.mirror.tests.support import run_command

HOUR_AGO = "1h"


@pytest.fixture
def dead(steps: Steps, database: psycopg.Connection) -> Steps:
    """A subscription with one dead letter."""
    write(steps, database, EVENT, "a")
    bury(steps, EVENT, "the remote refuses")
    return steps


def delivery(*arguments: str) -> str:
    code, said = run_command("delivery", *arguments)
    assert code == 0, said
    return said


def test_status_is_a_table_or_json(dead: Steps, database: psycopg.Connection):
    insert_post(database, "new")
    header, row = delivery("status").splitlines()
    assert " ".join(header.split()) == "subscription state behind waiting objects failing dead letters oldest reason"
    assert row.split()[:7] == ["test", "active", "1", "0", "0", "0", "1"]
    [status] = json.loads(delivery("status", "--json"))
    assert (status["name"], status["behind"], status["dead"]) == ("test", 1, 1)


def test_letters_say_their_cause(dead: Steps):
    assert "Refused: the remote refuses" in delivery("letters", "test")
    [letter] = json.loads(delivery("letters", "test", "--json"))
    assert letter["cause"] == "Refused: the remote refuses"
    assert delivery("letters", "test", "--cause", "nothing like it") == "No dead letters.\n"
    assert delivery("letters", "test", letter["id"]) != "No dead letters.\n"


def test_a_plan_changes_nothing(dead: Steps):
    assert delivery("replay-letters", "test", "--all", "--plan").startswith("Would replay 1 change of 1 object, from ")
    assert delivery("discard-letters", "test", "--all", "--reason", "r", "--plan").startswith(
        "Would discard 1 change of"
    )
    assert delivery("replay-span", "test", "--since", HOUR_AGO, "--plan").startswith("Would replay 1 change ")
    assert delivery("replay-span", "test", "--since", "0s", "--plan") == "Nothing to replay.\n"
    assert len(json.loads(delivery("letters", "test", "--json"))) == 1
    assert deliver(dead, EVENT) == []


def test_replaying(dead: Steps):
    assert delivery("replay-letters", "test", "--cause", "refuses") == "Replaying 1 change of 1 object.\n"
    assert deliver(dead, EVENT) == ["a"]
    assert delivery("replay-span", "test", "--since", HOUR_AGO) == "Replaying 1 change of 1 object.\n"
    assert deliver(dead, EVENT) == ["a"]
    assert delivery("rewind", "test", "--all", "--plan").startswith("Would send again 1 change of 1 object, from ")
    dead.fan_out()
    assert deliver(dead, EVENT) == []
    said = delivery("rewind", "test", "--all")
    assert re.fullmatch(
        r"test starts again at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: 1 change of 1 object go out again\.\n", said
    )
    dead.fan_out()
    assert deliver(dead, EVENT) == ["a"]
    assert delivery("rewind", "test", "--since", "0s") == "The log has nothing since then.\n"


def test_discarding(dead: Steps):
    assert delivery("discard-letters", "test", "--all", "--reason", "not wanted") == "Discarded 1 dead letter.\n"
    assert delivery("letters", "test") == "No dead letters.\n"


def test_pausing(dead: Steps):
    assert "`delivery resume` lets them go on" in delivery("pause", "test", "--reason", "maintenance")
    assert delivery("status").splitlines()[1].split()[1] == "paused"
    assert "maintenance" in delivery("status")
    delivery("resume", "test")
    assert delivery("status").splitlines()[1].split()[1] == "active"


def test_what_has_nothing_to_do_says_so(dead: Steps):
    delivery("discard-letters", "test", "--all", "--reason", "not wanted")
    assert delivery("replay-letters", "test", "--all") == "Nothing to replay.\n"
    assert delivery("discard-letters", "test", "--all", "--reason", "r") == "Nothing to discard.\n"
    assert delivery("replay-span", "test", "--since", "0s") == "Nothing to replay.\n"
    assert delivery("resume", "test") == "test is active already; nothing was changed.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("letters", "nobody"), "There is no subscription 'nobody'. There are: other, test."),
        (("replay-letters", "test"), "Which? Name dead letters"),
        (("discard-letters", "test", "--all"), "--reason"),
        (("replay-span", "test"), "--since"),
        (("replay-span", "test", "--since", "yesterday"), "'yesterday' is no time: say 2026-11-21T09:30"),
        (("letters", "test", "7"), "7"),
        (("letters",), "the following arguments are required: SUBSCRIPTION\n"),
        (("rewind", "test"), "one of the arguments --since --all is required"),
        (("rewind", "test", "--since", "1h", "--all"), "--all: not allowed with argument --since"),
    ],
)
def test_what_is_not_understood_is_said(dead: Steps, arguments: tuple[str, ...], message: str):
    dead.declare(subscriber("other"))
    code, said = run_command("delivery", *arguments)
    assert code == 1
    assert message in f"{said}\n"
