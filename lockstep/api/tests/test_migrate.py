"""A database that this code cannot continue is refused before anything is done to it."""

import pytest
from django.core.management import CommandError, call_command
from django.db.migrations.recorder import MigrationRecorder

pytestmark = pytest.mark.django_db


def migrate(app: str, name: str) -> None:
    MigrationRecorder.Migration.objects.create(app=app, name=name)
    call_command("migrate", verbosity=0)


@pytest.mark.parametrize(("app", "name"), [("changes", "0001_change_log"), ("shop", "9999_of_a_later_version")])
def test_a_migration_of_ours_that_is_not_here_is_named_with_what_to_do(app: str, name: str):
    with pytest.raises(CommandError, match=rf"it has {app}\.{name}, .* LOCKSTEP_HOME or DATABASE_URL name another"):
        migrate(app, name)


def test_what_a_library_has_dropped_is_its_own_matter():
    migrate("oauth2_provider", "0000_dropped")
