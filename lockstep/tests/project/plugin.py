"""What the tests share. A plugin and no conftest.py, which the tests of the whole repository would load as well."""

import os

import pytest
from kit import programs

KINDS = ("postgresql", "schema", "orders", "sqlite", "extras")
OF_EXTRAS = ("test_console", "test_extras", "test_webhooks_page")  # beginnings of files


def pytest_ignore_collect(collection_path):
    """Tests of extras are for an environment that has them: elsewhere they could not be imported."""
    if collection_path.name.startswith(OF_EXTRAS) and os.environ.get("DATABASE") != "extras":
        return True
    return None


def pytest_runtest_setup(item):
    """Some tests need a program that may be absent."""
    programs.require(item)


def pytest_collection_modifyitems(items):
    """What names no kind of database is for PostgreSQL, in both schemas."""
    for item in items:
        if not any(item.get_closest_marker(kind) for kind in KINDS):
            item.add_marker(pytest.mark.postgresql)
            item.add_marker(pytest.mark.schema)


def pytest_sessionstart():
    """With DATABASE=schema the tables are in a schema that is made before them."""
    if os.environ.get("DATABASE") != "schema":
        return
    from django.db.models.signals import pre_migrate

    def make(using, **kwargs):
        from django.db import connections

        with connections[using].cursor() as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS elsewhere")

    pre_migrate.connect(make, weak=False, dispatch_uid="elsewhere")


@pytest.fixture(scope="session")
def of_migrations(django_db_setup, django_db_blocker):
    """What the log had once the database was migrated; it is empty for the tests."""
    from django.core.management import call_command

    from lockstep.conf import has_log_database, lockstep_settings, log_connection
    from lockstep.models import LoggedChange

    # Where no test asks for a database none is made, and the connection leads to the one of the settings.
    if not has_log_database() or not log_connection().settings_dict["NAME"].startswith("test_"):
        return []
    with django_db_blocker.unblock():
        changes = list(LoggedChange.objects.using(lockstep_settings.DATABASE).order_by("seq"))
        call_command("flush", database=lockstep_settings.DATABASE, interactive=False, verbosity=0)
    return changes


@pytest.fixture(autouse=True)
def nothing_received(of_migrations):
    from project.blog import subscribers

    for kept in (subscribers.received, subscribers.threads, subscribers.given_up, subscribers.opened):
        kept.clear()
