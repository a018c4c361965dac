"""The audit finds what slipped past the log, and only that."""

import json
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command

from backend.posts.models import Post
from lockstep.delivery import audit as audit_module
from lockstep.delivery.audit import Finding, audit
from lockstep.delivery.errors import Rejected
from lockstep.delivery.tests.support import Steps, begin_epoch, insert_post, rename_post, subscriber
from tests.support import without_triggers


def posts() -> Finding:
    [finding] = [finding for finding in audit(outside=False) if finding.what == "posts.post: rows = log"]
    return finding


@pytest.fixture
def written(database: psycopg.Connection) -> list[str]:
    """Posts that were created, edited, deleted."""
    keys = [insert_post(database, f"{n}") for n in range(6)]
    rename_post(database, keys[1], "edited")
    database.execute("UPDATE posts_post SET deleted = now() WHERE id = %s", [keys[2]])
    database.execute("DELETE FROM posts_post WHERE id = %s", [keys[3]])
    return keys


def past_the_log(database: psycopg.Connection, statement: str, *values: object) -> None:
    """A write that no trigger sees."""
    with database.transaction(), without_triggers(database, "posts_post"):
        database.execute(statement, values)


def test_a_table_whose_name_has_its_schema_is_compared(
    database: psycopg.Connection, written: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Post._meta, "db_table", 'public"."posts_post')  # as projects write it for Django
    assert posts().differing == []


def test_rows_and_log_agree(database: psycopg.Connection, written: list[str]):
    finding = posts()
    assert (finding.objects, finding.differing) == (4, [])
    assert finding.digests[0] == finding.digests[1] != "0" * 16


@pytest.mark.parametrize(
    ("statement", "which"),
    [
        ("UPDATE posts_post SET title = 'changed in secret' WHERE id = %s", 0),
        ("DELETE FROM posts_post WHERE id = %s", 1),
        ("UPDATE posts_post SET deleted = now() WHERE id = %s", 1),
        ("UPDATE posts_post SET deleted = NULL WHERE id = %s", 2),
        ("INSERT INTO posts_post (id, title, body) VALUES (%s, 'in secret', '')", 3),
    ],
)
def test_a_change_that_slipped_past_the_log_is_found(
    database: psycopg.Connection, written: list[str], statement: str, which: int
):
    past_the_log(database, statement, written[which])
    finding = posts()
    assert finding.differing == [written[which]]
    assert finding.digests[0] != finding.digests[1]


def test_a_row_that_never_was_in_the_log_is_found_unless_the_log_forgot(
    database: psycopg.Connection, written: list[str]
):
    past_the_log(database, "INSERT INTO posts_post (title, body) VALUES ('in secret', '')")
    assert len(posts().differing) == 1
    begin_epoch(database)
    database.execute("UPDATE lockstep_epoch SET dropped = 1")
    try:
        finding = posts()
    finally:
        database.execute("UPDATE lockstep_epoch SET dropped = NULL")
    assert (finding.objects, finding.differing, finding.remark) == (5, [], "1 object older than the log")
    assert finding.digests[0] == finding.digests[1]


def test_a_column_that_is_captured_since_yesterday_is_no_difference(database: psycopg.Connection, written: list[str]):
    with database.transaction(), without_triggers(database, "lockstep_change"):
        database.execute("UPDATE lockstep_change SET after = after - 'body' WHERE model = 'posts.post'")
    assert posts().differing == []
    past_the_log(database, "UPDATE posts_post SET title = 'changed in secret' WHERE id = %s", written[0])
    assert posts().differing == [written[0]]


def test_a_column_that_another_version_captures_is_no_difference(database: psycopg.Connection, written: list[str]):
    """After the step back from a version with one column more."""
    with database.transaction(), without_triggers(database, "lockstep_change"):
        database.execute("UPDATE lockstep_change SET after = after || '{\"edition\": 2}' WHERE model = 'posts.post'")
    finding = posts()
    assert (finding.differing, finding.digests[0]) == ([], finding.digests[1])
    past_the_log(database, "UPDATE posts_post SET title = 'changed in secret' WHERE id = %s", written[0])
    assert posts().differing == [written[0]]


def test_dead_letters_differ_and_pending_deliveries_do_not(steps: Steps, database: psycopg.Connection):
    steps.declare(subscriber())
    insert_post(database, "a")
    insert_post(database, "b")
    steps.fan_out()
    [finding] = [finding for finding in audit(outside=False) if finding.what == "log = test"]
    assert (finding.differing, finding.remark) == ([], "2 changes on the way")
    steps.settle(*steps.claim(subscriber()), error=Rejected("no"))
    [finding] = [finding for finding in audit(outside=False) if finding.what == "log = test"]
    assert finding.differing == ["2 dead letters: see manage.py lockstep dead-letters test"]


def test_uncomparable_objects_are_no_difference(
    database: psycopg.Connection, written: list[str], monkeypatch: pytest.MonkeyPatch
):
    """A remote that does not answer said DIFFER, with the exit code of a real difference."""
    silent = Finding("rows = somewhere", 0, not_compared="the provider could not be read: no answer")
    monkeypatch.setattr(audit_module, "_checks", [lambda: silent])
    out = StringIO()
    with pytest.raises(CommandError, match="Not everything could be compared") as caught:
        call_command("lockstep", "audit", stdout=out)
    assert caught.value.returncode == 3
    assert "could not be compared: the provider could not be read: no answer" in out.getvalue()
    assert "DIFFER" not in out.getvalue()
    past_the_log(database, "DELETE FROM posts_post WHERE id = %s", written[0])
    with pytest.raises(CommandError, match="There are differences") as caught:
        call_command("lockstep", "audit", stdout=StringIO())
    assert caught.value.returncode == 2


def test_the_command_prints_the_difference_and_exits_2(
    database: psycopg.Connection, written: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_module, "_checks", [lambda: Finding("rows = somewhere", 3)])
    out = StringIO()
    call_command("lockstep", "audit", stdout=out)
    assert "rows = somewhere" in out.getvalue()
    past_the_log(database, "DELETE FROM posts_post WHERE id = %s", written[0])
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("lockstep", "audit", "--json", "--no-outside", stdout=out)
    assert caught.value.returncode == 2
    found = {finding["what"]: finding["differing"] for finding in json.loads(out.getvalue())}
    assert found["posts.post: rows = log"] == [written[0]]
    assert "rows = somewhere" not in found
