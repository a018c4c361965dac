"""Removes Lockstep from a project's database: `manage.py lockstep uninstall`."""

from collections.abc import Iterator

from django.apps import apps
from django.db import connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

from lockstep import changes
from lockstep.changes.triggers import TRIGGERS, uninstall_triggers
from lockstep.conf import engine_apps, lockstep_settings
from lockstep.install import uninstall_log
from lockstep.sql import identifier, statements

INSTALL = statements(changes.__file__, "install")


def plan_uninstall() -> list[str]:
    """Descriptions of the objects that would be dropped."""
    with connections[lockstep_settings.DATABASE].cursor() as cursor:
        cursor.execute(TRIGGERS["installed"])
        triggers = [f"the trigger {name} on {table}" for table, name, *_ in cursor.fetchall()]
    tables = [f"the table {table}" for table in _tables()]
    functions = [f"the function {function}" for function in _functions()]
    return [*triggers, *tables, *functions, "the change log and its functions", *_records()]


def uninstall() -> list[str]:
    """Drops all objects of Lockstep in one transaction. Returns their descriptions."""
    dropped = plan_uninstall()
    connection = connections[lockstep_settings.DATABASE]
    with transaction.atomic(connection.alias):
        uninstall_triggers(connection)
        with connection.cursor() as cursor:
            for table in _tables():
                cursor.execute(INSTALL["drop_table"].with_parts(table=identifier(table)))
            for function in _functions():
                cursor.execute(INSTALL["drop_function"].with_parts(function=identifier(function)))
        uninstall_log(connection)
        _forget(connection.alias)
    return dropped


def _tables() -> list[str]:
    """The tables of managed models, which the log's is not."""
    connection = connections[lockstep_settings.DATABASE]
    there = set(connection.introspection.table_names())
    return [model._meta.db_table for model in _models() if model._meta.managed and model._meta.db_table in there]


def _functions() -> list[str]:
    """The functions of triggers that the engine's models declare with django-pgtrigger."""
    return [trigger.get_pgid(model) for model in _models() for trigger in getattr(model._meta, "triggers", ())]


def _models() -> list[type[Model]]:
    return [model for app in engine_apps() for model in app.get_models(include_auto_created=True)]


def _records() -> Iterator[str]:
    yield "the records of its migrations"
    if apps.is_installed("django.contrib.contenttypes"):
        yield "its content types and permissions"


def _forget(using: str) -> None:
    labels = [app.label for app in engine_apps()]
    MigrationRecorder(connections[using]).migration_qs.filter(app__in=labels).delete()
    if apps.is_installed("django.contrib.auth"):
        apps.get_model("auth.Permission").objects.using(using).filter(content_type__app_label__in=labels).delete()
    if apps.is_installed("django.contrib.contenttypes"):
        apps.get_model("contenttypes.ContentType").objects.using(using).filter(app_label__in=labels).delete()
