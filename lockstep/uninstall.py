"""Removes Lockstep from a project's database: `manage.py lockstep uninstall`."""

from collections.abc import Iterator

from django.apps import apps
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from lockstep import changes
from lockstep.changes.triggers import TRIGGERS
from lockstep.conf import engine_apps, log_connection
from lockstep.install import uninstall_log
from lockstep.sql import identifier, statements

INSTALL = statements(changes.__file__, "install")


def plan_uninstall() -> list[str]:
    """Descriptions of the objects that would be dropped."""
    with log_connection().cursor() as cursor:
        cursor.execute(TRIGGERS["installed"])
        triggers = [f"the trigger {name} on {table}" for table, name, *_ in cursor.fetchall()]
    tables = [f"the table {table}" for table in _tables()]
    functions = [f"the function {function}" for function in _functions()]
    return [*triggers, *tables, *functions, "the change log and its functions", *_records()]


def uninstall() -> list[str]:
    """Drops all objects of Lockstep in one transaction. Returns their descriptions."""
    dropped = plan_uninstall()
    connection = log_connection()
    with transaction.atomic(connection.alias):
        with connection.cursor() as cursor:
            for table in _tables():
                cursor.execute(INSTALL["drop_table"].with_parts(table=identifier(table)))
            for function in _functions():
                cursor.execute(INSTALL["drop_function"].with_parts(function=identifier(function)))
        uninstall_log(connection)
        _delete_records(connection)
    return dropped


def _tables() -> list[str]:
    """The tables of managed models, which the log's is not."""
    existing = set(log_connection().introspection.table_names())
    return [model._meta.db_table for model in _models() if model._meta.managed and model._meta.db_table in existing]


def _functions() -> list[str]:
    """The functions of triggers that the engine's models declare with django-pgtrigger."""
    return [trigger.get_pgid(model) for model in _models() for trigger in getattr(model._meta, "triggers", ())]


def _models() -> list[type[Model]]:
    return [model for app in engine_apps() for model in app.get_models(include_auto_created=True)]


def _records() -> Iterator[str]:
    yield "the records of its migrations"
    if apps.is_installed("django.contrib.contenttypes"):
        yield "its content types and permissions"


def _delete_records(connection: BaseDatabaseWrapper) -> None:
    labels = [app.label for app in engine_apps()]
    MigrationRecorder(connection).migration_qs.filter(app__in=labels).delete()
    if not apps.is_installed("django.contrib.contenttypes"):
        return
    content_type = apps.get_model("contenttypes.ContentType")
    for alias in {connection.alias, router.db_for_write(content_type)}:
        if content_type._meta.db_table in connections[alias].introspection.table_names():
            content_type.objects.using(alias).filter(app_label__in=labels).delete()  # and with them the permissions
