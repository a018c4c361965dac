"""Removes Lockstep from a project's database: `manage.py lockstep uninstall`."""

from collections.abc import Iterator

from django.apps import apps
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model, QuerySet

from lockstep import changes
from lockstep.changes.checks import BUILDS_ON
from lockstep.changes.triggers import TRIGGERS
from lockstep.conf import engine_apps, lockstep_settings, log_connection
from lockstep.install import has_log, uninstall_log
from lockstep.sql import identifier, statements

INSTALL = statements(changes.__file__, "install")


class ExtraNotInstalled(Exception):
    """The database has tables of an app of the engine that is not in INSTALLED_APPS."""


def plan_uninstall() -> list[str]:
    """Descriptions of the objects that would be dropped. Raises ExtraNotInstalled."""
    connection = log_connection()
    if gone := _migrated() - {app.label for app in engine_apps()}:
        names = ", ".join(f'"{label.replace("_", ".", 1)}"' for label in sorted(gone))
        raise ExtraNotInstalled(
            f"The database has tables of {names}, which INSTALLED_APPS lacks. Put it back there, then uninstall again."
        )
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS["installed"])
        triggers = [f"the trigger {name} on {table}" for table, name, *_ in cursor.fetchall()]
    tables = [f"the table {table}" for table in _tables()]
    functions = [f"the function {function}" for function in _functions()]
    log = ["the change log and its functions"] if has_log(connection) else []
    return [*triggers, *tables, *functions, *log, *_records()]


def uninstall() -> list[str]:
    """Drops all objects of Lockstep in one transaction. Returns their descriptions. Raises ExtraNotInstalled."""
    dropped = plan_uninstall()
    connection = log_connection()
    functions = _functions()  # before their tables, with which the triggers go
    with transaction.atomic(connection.alias):
        with connection.cursor() as cursor:
            for table in _tables():
                cursor.execute(INSTALL["drop_table"].with_parts(table=identifier(table)))
            for function in functions:
                cursor.execute(INSTALL["drop_function"].with_parts(function=identifier(function)))
        uninstall_log(connection)
        _delete_records(connection)
    return dropped


def remaining_steps() -> list[str]:
    """What is left to do once everything is dropped."""
    names = ", ".join(app.name for app in reversed(engine_apps()))
    steps = [
        f"Remove {names} from INSTALLED_APPS, their routes and middleware from the project, and @capture and "
        "subscribers.py from the code."
    ]
    if any(getattr(model._meta, "triggers", ()) for model in _models()):
        steps.append(
            "Left in the database: the function _pgtrigger_should_ignore of django-pgtrigger, for triggers that the "
            "project has."
        )
    return steps


def _migrated() -> set[str]:
    """The labels of the engine's apps that have applied migrations."""
    labels = {name.replace(".", "_") for name in ("lockstep", *BUILDS_ON)}
    return labels & {label for label, _ in MigrationRecorder(log_connection()).applied_migrations()}


def _tables() -> list[str]:
    """The tables of managed models, which the log's is not."""
    existing = set(log_connection().introspection.table_names())
    return [model._meta.db_table for model in _models() if model._meta.managed and model._meta.db_table in existing]


def _functions() -> list[str]:
    """The functions of triggers that the engine's models declare with django-pgtrigger."""
    names = [trigger.get_pgid(model) for model in _models() for trigger in getattr(model._meta, "triggers", ())]
    with log_connection().cursor() as cursor:
        cursor.execute(INSTALL["existing_functions"], [names])
        return [name for (name,) in cursor.fetchall()]


def _models() -> list[type[Model]]:
    return [model for app in engine_apps() for model in app.get_models(include_auto_created=True)]


def _records() -> Iterator[str]:
    if _migrated():
        yield "the records of its migrations"
    if any(types.exists() for types in _content_types()):
        yield "its content types and permissions"


def _content_types() -> Iterator[QuerySet[Model]]:
    """Those of the engine's models, in each database that may have them."""
    if not apps.is_installed("django.contrib.contenttypes"):
        return
    content_type, labels = apps.get_model("contenttypes.ContentType"), [app.label for app in engine_apps()]
    for alias in {lockstep_settings.DATABASE, router.db_for_write(content_type)}:
        if content_type._meta.db_table in connections[alias].introspection.table_names():
            yield content_type._default_manager.using(alias).filter(app_label__in=labels)


def _delete_records(connection: BaseDatabaseWrapper) -> None:
    recorder = MigrationRecorder(connection)
    if recorder.has_table():
        recorder.migration_qs.filter(app__in=[app.label for app in engine_apps()]).delete()
    for types in _content_types():
        types.delete()  # and with them the permissions
