"""A subscription is what its row says: workers of two versions of the code do not undo each other's declarations."""

import logging
from dataclasses import replace

import psycopg
import pytest
from django.core.management import call_command

from lockstep.delivery.housekeeping import UPKEEP
from lockstep.delivery.tests.support import Steps, subscriber

OLD = subscriber("test", "state")
NEW = subscriber("test", "event", skip_origin="elsewhere", cap=7)
ROW = "SELECT kind, skip_origin, cap FROM lockstep_subscription WHERE name = 'test'"
AS_OLD, AS_NEW = ("state", None, 1_000_000), ("event", "elsewhere", 7)


def test_an_older_version_does_not_undo_a_newer_declaration(
    steps: Steps, database: psycopg.Connection, caplog: pytest.LogCaptureFixture
):
    """Each start of a worker would otherwise turn the subscription round, for ever."""
    steps.declare(OLD)
    steps.declare(NEW)
    assert database.execute(ROW).fetchone() == AS_NEW
    for _ in range(3):
        with caplog.at_level(logging.WARNING):
            steps.declare(OLD)
        assert database.execute(ROW).fetchone() == AS_NEW
        assert "run manage.py migrate" in caplog.messages[-1]
        caplog.clear()
        steps.declare(NEW)
        assert caplog.messages == []


def test_the_version_that_migrates_is_the_right_one(steps: Steps, database: psycopg.Connection):
    """Back to the older version: its migration's declaration stays, whichever worker starts."""
    for who in (OLD, NEW):
        steps.declare(who)
    database.execute(UPKEEP["declare_subscription"], OLD.row)  # as after manage.py migrate
    steps.declare(NEW)
    assert database.execute(ROW).fetchone() == AS_OLD
    steps.declare(replace(NEW, cap=8))  # a third version
    assert database.execute(ROW).fetchone() == ("event", "elsewhere", 8)


def test_migrate_stores_the_declarations_of_the_code(database: psycopg.Connection):
    changed = "UPDATE lockstep_subscription SET kind = 'state', replaced = ARRAY['x'] WHERE name = 'payments'"
    assert database.execute(changed).rowcount == 1
    call_command("migrate", "lockstep", verbosity=0)
    kind = "SELECT kind FROM lockstep_subscription WHERE name = 'payments'"
    assert database.execute(kind).fetchone() == ("event",)


def test_replaced_declarations_are_kept_up_to_a_limit(steps: Steps, database: psycopg.Connection):
    for cap in range(1, 40):
        steps.declare(replace(NEW, cap=cap))
    replaced = database.execute("SELECT replaced FROM lockstep_subscription").fetchone()
    assert replaced
    assert (len(replaced[0]), replaced[0][-1][-4:]) == (20, ",38)")
