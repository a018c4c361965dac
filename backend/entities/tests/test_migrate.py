"""A database that this code cannot continue is refused before anything is done to it."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

pytestmark = pytest.mark.django_db

RETENTION = "SELECT lockstep_retention_days()"
ANOTHER = "CREATE OR REPLACE FUNCTION lockstep_retention_days() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 36501'"


def migrate(app: str, name: str) -> None:
    MigrationRecorder.Migration.objects.create(app=app, name=name)
    call_command("migrate", verbosity=0)


def test_an_unknown_migration_history_is_refused_with_a_remedy():
    MigrationRecorder.Migration.objects.filter(app="shop", name="0001_initial").delete()
    with pytest.raises(CommandError, match=r"it has changes\.0001_change_log, .* LOCKSTEP_HOME or DATABASE_URL name"):
        migrate("changes", "0001_change_log")


def test_a_database_of_a_later_version_is_not_changed(
    capsys: pytest.CaptureFixture[str],
):
    """The step back to this version: it neither refuses, nor puts its own functions and triggers in their place."""
    with connection.cursor() as cursor:
        cursor.execute(ANOTHER)
    migrate("shop", "9999_of_a_later_version")

    assert "a later version of Lockstep has migrated this database, to shop.9999_of_a" in capsys.readouterr().err
    call_command("migrate", check_unapplied=True, verbosity=0)
    call_command("check", databases=["default"])
    with connection.cursor() as cursor:
        cursor.execute(RETENTION)
        assert cursor.fetchone() == (36_501,)


def test_unknown_migrations_of_a_library_are_accepted():
    migrate("oauth2_provider", "0000_dropped")


def test_a_migration_that_the_database_refuses_is_named():
    MigrationRecorder.Migration.objects.filter(app="defects", name="0001_initial").delete()
    with pytest.raises(CommandError, match=r"^\nThe migration defects\.0001_initial failed: .* already exists\. Mend"):
        call_command("migrate", verbosity=0)
