"""The engine's core as an app of Django."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.module_loading import autodiscover_modules

from lockstep.conf import has_log_database


class LockstepConfig(AppConfig):
    name = "lockstep"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers checks and periodic work, imports each app's `subscribers.py`, and connects to migrations."""
        from lockstep.changes import checks  # noqa: F401 - registers the system checks
        from lockstep.delivery import checks as delivery_checks  # noqa: F401 - likewise

        autodiscover_modules("subscribers")
        if has_log_database():
            self._follow_database()

    def _follow_database(self) -> None:
        from lockstep.changes.schema_editor import follow_schema
        from lockstep.changes.statements import follow_connections
        from lockstep.delivery import housekeeping, partitions  # noqa: F401 - register their periodic work

        follow_schema()
        follow_connections()
        pre_migrate.connect(before_migrations, sender=self)
        post_migrate.connect(after_migrations, sender=self)


def before_migrations(using: str, plan: Sequence[tuple[object, bool]], **kwargs: object) -> None:
    """Makes the change log before the first migration runs, so that writes of migrations are captured."""
    from lockstep.changes.schema_editor import is_followed
    from lockstep.install import install_log, is_migrated_by_files

    forwards = any(not backwards for _, backwards in plan)
    if is_followed(connections[using]) and (forwards or not is_migrated_by_files()):
        install_log(connections[using])


def after_migrations(using: str, **kwargs: object) -> None:
    """Installs this code's functions, triggers and rights, and declares its subscriptions.

    Subscriptions begin here, not with the first worker: writes in between are delivered.
    """
    from lockstep.changes.schema_editor import is_followed
    from lockstep.install import has_log, install

    if is_followed(connections[using]) and has_log(connections[using]):
        install(connections[using])
