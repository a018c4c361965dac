"""Django's `migrate`, which first looks whether the database's history is one that this code can continue."""

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from lockstep.changes import commands
from lockstep.changes.protection import UnfitRole, protect


class Command(commands.Command, migrate.Command):
    """`make run`, the tests and the bench come through here, too: `call_command` finds this one."""

    def execute(self, *args: Any, **options: Any) -> str | None:  # noqa: ANN401 - Django's signature
        """Mends first what was made beside migrations, as by `pgtrigger install`: Django's checks would refuse it."""
        try:
            only_looks = options["plan"] or options["check_unapplied"]
            if options["database"] == DEFAULT_DB_ALIAS and not only_looks and not _is_pending(DEFAULT_DB_ALIAS):
                protect(DEFAULT_DB_ALIAS)
            return super().execute(*args, **options)
        except UnfitRole as error:
            raise CommandError(str(error)) from error

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Refuses before Django's own checks, which would meet a history that makes no sense to them."""
        if unknown := _unknown_migrations(options["database"]):
            raise CommandError(
                f"This database was made by another version of Lockstep: it has {unknown[0]}, which this one lacks. "
                "A development version before 0.1.0 cannot be upgraded: move the database's folder away (.lockstep, or "
                "the one that LOCKSTEP_HOME names), or let LOCKSTEP_HOME or DATABASE_URL name another."
            )
        super().handle(*args, **options)


def _is_pending(database: str) -> bool:
    executor = MigrationExecutor(connections[database])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _unknown_migrations(database: str) -> list[str]:
    """Those of our apps that were applied and are not on disk. What libraries squash or drop is their own matter."""
    ours = {app.label for app in apps.get_app_configs() if app.name.startswith("lockstep.")}
    applied = MigrationRecorder(connections[database]).applied_migrations()
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    return sorted(f"{app}.{name}" for app, name in applied if app in ours and (app, name) not in loader.disk_migrations)
