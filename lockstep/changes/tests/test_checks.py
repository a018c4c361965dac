"""`manage.py check` fails when capture is not what it should be."""

from typing import Any

import pytest
from django.conf import settings
from django.core.checks import Error, Warning, run_checks
from django.core.management import CommandError, call_command
from django.db import connection

from backend.accounts.models import User
from backend.posts.models import Post
from lockstep.changes import checks
from lockstep.changes.capture import Capture, declared
from lockstep.changes.triggers import Table, function_name

pytestmark = pytest.mark.django_db

KINDS = {"E": Error, "W": Warning}


def messages() -> list[tuple[str, str]]:
    found = (
        checks.every_model_is_captured(None)
        + checks.captures_are_possible(None)
        + checks.capture_is_in_force(["default"])
    )
    assert all(type(message) is KINDS[message.id.removeprefix("lockstep.")[0]] for message in found)
    return [(message.id, message.msg) for message in found]


def test_all_is_well_as_it_stands():
    assert messages() == []


def test_a_model_that_is_not_captured_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(declared(), "posts.post")
    assert ("lockstep.E001", "posts.Post is not captured.") in messages()


def test_a_model_may_say_why_it_is_not_captured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(declared(), "posts.post")
    monkeypatch.setattr(Post, "uncaptured", "for this test", raising=False)
    assert "lockstep.E001" not in dict(messages())


def test_an_unknown_column_is_an_error_with_a_suggestion(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(declared(), "posts.post", [Capture("posts.post", ("titel",))])
    [fault] = checks.captures_are_possible(None)
    assert (fault.id, "'titel'" in fault.msg, fault.hint) == ("lockstep.E002", True, "Did you mean 'title'?")


def test_a_disabled_trigger_is_an_error():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE posts_post DISABLE TRIGGER lockstep_capture_insert")
    assert messages() == [("lockstep.E004", "posts.post: the trigger lockstep_capture_insert is disabled.")]


def test_a_missing_trigger_is_an_error():
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {CAPTURE} ON posts_post")
    assert messages() == [("lockstep.E003", "posts.post: the trigger lockstep_capture_update is missing.")]


def test_a_trigger_that_no_model_declares_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(declared(), "posts.post")
    monkeypatch.setattr(Post, "uncaptured", "for this test", raising=False)
    assert {number for number, _ in messages()} == {"lockstep.E016", "lockstep.E017"}


CAPTURE = "lockstep_capture_update"
OF_POSTS = function_name("update", Table("public.posts_post", frozenset()))
OF_A_FLOAT = function_name("update", Table("public.movies_movie", frozenset()))
FUNCTION = f"""
    CREATE OR REPLACE FUNCTION {OF_POSTS}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS 'BEGIN RETURN NULL; END'"""
ALTERED = "posts.post: the trigger lockstep_capture_update was altered."


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param(
            f"ALTER TABLE posts_post ENABLE TRIGGER {CAPTURE}",
            (
                "E007",
                "posts.post: the trigger lockstep_capture_update can be switched off by session_replication_role.",
            ),
            id="not always",
        ),
        pytest.param(
            f"ALTER TABLE posts_post ENABLE REPLICA TRIGGER {CAPTURE}",
            ("E004", "posts.post: the trigger lockstep_capture_update is disabled."),
            id="replica",
        ),
        pytest.param(FUNCTION, ("E008", f"The function public.{OF_POSTS} was altered, or is outdated."), id="function"),
        pytest.param(
            f"ALTER FUNCTION {OF_POSTS}() RESET search_path",
            (
                "E009",
                f"The function public.{OF_POSTS} depends on the rights or the settings of the session that writes.",
            ),
            id="path",
        ),
        pytest.param(
            f"ALTER FUNCTION {OF_POSTS}() SET search_path = public, pg_catalog, pg_temp",
            (
                "E009",
                f"The function public.{OF_POSTS} depends on the rights or the settings of the session that writes.",
            ),
            id="another path",
        ),
        pytest.param(
            f"ALTER FUNCTION {OF_A_FLOAT}() RESET extra_float_digits",
            (
                "E009",
                f"The function public.{OF_A_FLOAT} depends on the rights or the settings of the session that writes.",
            ),
            id="digits",
        ),
        pytest.param(
            f"ALTER FUNCTION {OF_POSTS}() SECURITY INVOKER",
            (
                "E009",
                f"The function public.{OF_POSTS} depends on the rights or the settings of the session that writes.",
            ),
            id="rights",
        ),
        pytest.param(
            f"GRANT EXECUTE ON FUNCTION {OF_POSTS}() TO public",
            ("E010", f"The function public.{OF_POSTS} can be called by roles other than the owner of the log."),
            id="execute",
        ),
        pytest.param(
            "DROP TRIGGER lockstep_change_append_only ON lockstep_change_rest",
            ("E011", "lockstep_change_rest, a table of the change log, does not refuse edits."),
            id="partition",
        ),
        pytest.param(
            "ALTER TABLE lockstep_change DISABLE TRIGGER USER",
            ("E011", "lockstep_change, a table of the change log, does not refuse edits."),
            id="log",
        ),
        pytest.param(
            "CREATE TABLE by_hand PARTITION OF lockstep_change FOR VALUES FROM ('2001-01-01') TO ('2001-01-02')",
            ("E011", "by_hand, a table of the change log, does not refuse edits."),
            id="partition made by hand",
        ),
        pytest.param(
            "CREATE OR REPLACE TRIGGER lockstep_change_append_only BEFORE UPDATE OR DELETE ON lockstep_change"
            " FOR EACH STATEMENT EXECUTE FUNCTION lockstep_refuse_edit();"
            "ALTER TABLE lockstep_change ENABLE ALWAYS TRIGGER lockstep_change_append_only",
            ("E011", "lockstep_change, a table of the change log, does not refuse edits."),
            id="truncate",
        ),
        pytest.param(
            "GRANT INSERT ON lockstep_change TO public",
            ("E012", "The role public may write the change log: lockstep_change."),
            id="insert",
        ),
        pytest.param(
            "GRANT UPDATE (actor) ON lockstep_change_rest TO public",
            ("E012", "The role public may write the change log: lockstep_change_rest."),
            id="column of a partition",
        ),
        pytest.param(
            "GRANT UPDATE ON SEQUENCE lockstep_change_seq TO public",
            ("E012", "The role public may write the change log: lockstep_change_seq."),
            id="numbers",
        ),
        pytest.param(
            "GRANT TRIGGER ON shop_movement TO public",
            ("E015", "The role public may put triggers on shop_movement."),
            id="right to make triggers",
        ),
        pytest.param(
            "CREATE OR REPLACE FUNCTION lockstep_retention_days() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
            ("E014", "The database keeps the change log for another time than 30 days."),
            id="retention",
        ),
    ],
)
def test_a_bypass_of_the_log_is_an_error(statement: str, expected: tuple[str, str]):
    with connection.cursor() as cursor:
        cursor.execute(statement)
    found = [(number.removeprefix("lockstep."), sentence) for number, sentence in messages()]
    assert expected in found
    assert {number for number, _ in found} == {expected[0]}  # with one sentence for each role that it concerns


@pytest.mark.parametrize(
    "definition",
    [
        "AFTER UPDATE ON posts_post REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"
        " FOR EACH STATEMENT WHEN (false)",
        "AFTER DELETE ON posts_post REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT",
        "BEFORE UPDATE ON posts_post FOR EACH STATEMENT",
        "AFTER UPDATE OF title ON posts_post FOR EACH STATEMENT",
        "AFTER UPDATE ON posts_post FOR EACH ROW",
    ],
)
def test_altered_trigger_is_an_error(definition: str):
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE TRIGGER {CAPTURE} {definition} EXECUTE FUNCTION {OF_POSTS}()")
        cursor.execute(f"ALTER TABLE posts_post ENABLE ALWAYS TRIGGER {CAPTURE}")
    assert messages() == [("lockstep.E006", ALTERED)]


def test_altered_trigger_of_pgtrigger_is_an_error():
    trigger = Post._meta.triggers[0]
    name = trigger.get_pgid(Post)
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE OR REPLACE TRIGGER {name} BEFORE UPDATE ON posts_post FOR EACH ROW WHEN (false)"
            f" EXECUTE FUNCTION {name}()"
        )
        cursor.execute(f"ALTER TABLE posts_post ENABLE ALWAYS TRIGGER {name}")
    assert messages() == [("lockstep.E006", f"posts.Post: trigger {trigger.name} was altered.")]


def test_restored_dump_is_no_altered_trigger():
    """PostgreSQL may nest a condition otherwise where it reads what it has shown, and means the same."""
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT format('DROP TRIGGER %1$I ON %2$I; %3$s; ALTER TABLE %2$I ENABLE ALWAYS TRIGGER %1$I;'
                          ' COMMENT ON TRIGGER %1$I ON %2$I IS %4$L', t.tgname, c.relname, pg_get_triggerdef(t.oid),
                          obj_description(t.oid, 'pg_trigger'))
            FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
            WHERE t.tgname LIKE 'pgtrigger\\_%' AND t.tgqual IS NOT NULL""")
        for (restore,) in cursor.fetchall():
            cursor.execute(restore)
    assert messages() == []


def test_trigger_with_another_function_is_an_error():
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE OR REPLACE TRIGGER {CAPTURE} AFTER UPDATE ON posts_post REFERENCING OLD TABLE AS old_rows"
            " NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION lockstep_refuse_edit()"
        )
        cursor.execute(f"ALTER TABLE posts_post ENABLE ALWAYS TRIGGER {CAPTURE}")
    assert messages() == [("lockstep.E006", ALTERED)]


def test_table_of_a_many_to_many_field_that_is_not_captured_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(User, "uncaptured_fields", {"groups": "for this test"})
    assert messages() == [("lockstep.E001", "accounts.User_user_permissions is not captured.")]


def test_application_role_that_is_absent_or_owns_the_tables_is_an_error(monkeypatch: pytest.MonkeyPatch):
    for role, reason in (
        (connection.settings_dict["USER"], "is, or can become, the owner"),
        ("nobody", "does not exist"),
    ):
        monkeypatch.setitem(settings.LOCKSTEP, "APPLICATION_ROLE", role)
        [(number, sentence)] = messages()
        assert number == "lockstep.E013"
        assert reason in sentence
        with pytest.raises(CommandError, match=reason):
            call_command("migrate", verbosity=0)


def test_role_of_the_process_that_could_switch_capture_off_is_a_warning_of_the_deployment():
    [warning] = checks.role_does_not_own_the_log(["default"])
    assert (warning.id, "it can switch capture off" in warning.msg) == ("lockstep.W014", True)


def test_migrate_repairs_faults():
    Post._meta.triggers[0].install(Post)  # as `manage.py pgtrigger install` does
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER lockstep_change_append_only ON lockstep_change_rest")
        cursor.execute(
            "CREATE OR REPLACE FUNCTION lockstep_refuse_edit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'"
        )
    assert ("lockstep.E005", "A session can switch triggers off (pgtrigger.ignore).") in messages()
    assert len(messages()) == 6
    call_command("migrate", verbosity=0, skip_checks=False)
    assert messages() == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DATABASE", "nope", "must be one of DATABASES: default"),
        ("CAPTURED_APPS", ["posts", "nope"], "must be labels of installed apps, and 'nope' is none"),
        ("WORKER_METRICS_PORT", 70_000, "must be a port from 1 to 65535, or 0 for none"),
        ("WEBHOOK_DEADLINE", 0, "must be a number above 0"),
        ("WORKER_METRICS_PORT", "9000", "must be a port from 1 to 65535, or 0 for none"),
    ],
)
def test_a_setting_that_names_nothing_is_one_error_and_no_traceback(
    settings: Any, name: str, value: object, sentence: str
):
    settings.LOCKSTEP = settings.LOCKSTEP | {name: value}
    assert [error.msg for error in run_checks() if error.id == "lockstep.E027"] == [
        f"LOCKSTEP[{name!r}] {sentence}, not {value!r}."
    ]
