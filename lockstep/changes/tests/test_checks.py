"""`manage.py check` fails when capture is not what it should be."""

import pytest
from django.core.checks import Error, Warning
from django.core.management import call_command
from django.db import connection

from lockstep.changes import checks
from lockstep.posts.models import Post

pytestmark = pytest.mark.django_db

KINDS = {"E": Error, "W": Warning}


def messages() -> list[tuple[str, str]]:
    found = checks.every_model_is_captured(None) + checks.every_trigger_is_in_force(["default"])
    assert all(type(message) is KINDS[message.id.removeprefix("changes.")[0]] for message in found)
    return [(message.id, message.msg) for message in found]


def test_all_is_well_as_it_stands():
    assert messages() == []


def test_a_model_that_is_not_captured_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Post._meta, "triggers", [])
    assert messages() == [("changes.E001", "posts.Post is not captured.")]


def test_a_model_may_say_why_it_is_not_captured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Post._meta, "triggers", [])
    monkeypatch.setattr(Post, "uncaptured", "for this test", raising=False)
    assert messages() == []


def test_a_column_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch):
    trigger = Post._meta.triggers[0]
    monkeypatch.setattr(trigger, "columns", ("title", "colour"))
    found = checks.every_model_is_captured(None)
    assert [(message.id, "colour" in message.msg) for message in found] == [("changes.E002", True)]


def test_a_disabled_trigger_is_an_error():
    trigger = Post._meta.triggers[0]
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE posts_post DISABLE TRIGGER {trigger.get_pgid(Post)}")
    assert messages() == [("changes.E004", "posts.Post: trigger capture_insert is disabled.")]


def test_a_missing_trigger_is_an_error():
    trigger = Post._meta.triggers[1]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {trigger.get_pgid(Post)} ON posts_post")
    assert messages() == [("changes.E003", "posts.Post: trigger capture_update is uninstalled.")]


def test_what_brings_back_the_switch_for_triggers_is_told_and_mended_by_migrate():
    trigger = Post._meta.triggers[0]
    trigger.install(Post)  # as `manage.py pgtrigger install` does
    assert messages() == [("changes.W005", "A session can switch triggers off (pgtrigger.ignore).")]
    call_command("migrate", verbosity=0)
    assert messages() == []
