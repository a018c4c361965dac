"""Django's `migrate`, which first checks that this code can continue the database's history of migrations.

It waits for locks by the rules of entities/migration_locks.py.
"""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, ProgrammingError
from psycopg import errors

from backend.entities.migration_locks import LockTimeout, repeat_until_locked
from lockstep.changes import commands
from lockstep.changes.applied_migrations import is_of_later_version, migrations_are_pending, unknown_migrations
from lockstep.changes.protection import UnfitRole, secure

FORMER = ("changes", "delivery")  # labels of apps in development versions before 0.1.0


class Command(commands.Command, migrate.Command):
    """The command; `call_command`, and with it the tests and the bench, finds this one, too."""

    has_json = False  # its output is Django's
    _applied = ""  # the last migration that was begun, such as "posts.0005_edition"

    def execute(self, *args: Any, **options: Any) -> str | None:  # noqa: ANN401 - Django's signature
        """Waits for locks, and repeats what got none."""
        if options["plan"] or options["check_unapplied"]:
            return super().execute(*args, **options)
        using = options["database"]
        try:
            return repeat_until_locked(using, lambda: self._execute(*args, **options), self.stderr.write)
        except (UnfitRole, LockTimeout) as error:
            raise CommandError(str(error)) from error

    def _execute(self, *args: Any, **options: Any) -> str | None:  # noqa: ANN401 - Django's signature
        """First repairs what was created outside of migrations, such as by `pgtrigger install`, which checks refuse."""
        if is_of_later_version(options["database"]):
            latest = unknown_migrations(options["database"])[-1]
            self.stderr.write(
                f"Nothing to migrate: a later version of Lockstep has migrated this database, to {latest}. "
                "This version works with it as it is."
            )
            return None
        if options["database"] == DEFAULT_DB_ALIAS and not migrations_are_pending(DEFAULT_DB_ALIAS):
            secure()
        try:
            return super().execute(*args, **options)
        except ProgrammingError as error:
            if not self._applied:
                raise
            raise CommandError(_failure(self._applied, error)) from error

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:  # noqa: ANN401 - Django's signature
        """Keeps the name of the migration."""
        if action == "apply_start":
            self._applied = str(migration)
        super().migration_progress_callback(action, migration, fake)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Refuses an unknown history before Django's own checks, which would fail with another message."""
        unknown = unknown_migrations(options["database"], FORMER)
        if unknown and not is_of_later_version(options["database"]):
            raise CommandError(
                f"This database was made by another version of Lockstep: it has {unknown[0]}, which this one lacks, "
                "and lacks what this one has. Run migrate of the version that has it to the end. A development version "
                "before 0.1.0 cannot be upgraded: let LOCKSTEP_HOME or DATABASE_URL name another database."
            )
        super().handle(*args, **options)


def _failure(migration: str, error: ProgrammingError) -> str:
    """The message for a migration whose SQL the database refuses, on a line of its own."""
    text = str(error).partition("\n")[0].strip()
    remedy = (
        "Run migrate as the role that owns the tables, which DATABASE_URL names."
        if isinstance(error.__cause__, errors.InsufficientPrivilege)
        else "Mend the migration, and run migrate again."
    )
    return f"\nThe migration {migration} failed: {text}. {remedy}"
