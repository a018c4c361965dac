"""Installs the engine's objects in a database: the change log, functions, triggers, rights.

`migrate` makes and updates them, without SQL in migrations, so that projects that test without migrations have them
too.
"""

import hashlib
from collections.abc import Iterable

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from lockstep import changes, delivery
from lockstep.changes.protection import secure
from lockstep.changes.triggers import uninstall_triggers
from lockstep.conf import lockstep_settings
from lockstep.delivery.subscriptions import registered
from lockstep.sql import Statement, Statements, literal, statements

LOG = statements(changes.__file__, "schema")
INSTALL = statements(changes.__file__, "install")
DELIVERY = statements(delivery.__file__, "schema")
UPKEEP = statements(delivery.__file__, "upkeep")


def has_log(connection: BaseDatabaseWrapper) -> bool:
    """Whether the database has a change log."""
    return _exists(connection, "lockstep_change")


def _exists(connection: BaseDatabaseWrapper, table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(INSTALL["exists"], [table])
        return bool(cursor.fetchone() == (True,))


def is_migrated_by_files() -> bool:
    """Whether the engine's migrations are enabled, which a project may disable for its tests."""
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    return "lockstep" in loader.migrated_apps


def install_log(connection: BaseDatabaseWrapper) -> None:
    """Makes the change log, and the functions that are defaults in the engine's tables."""
    _run(connection, "lockstep_change", LOG)


def install(connection: BaseDatabaseWrapper) -> None:
    """Makes or updates all objects of this code, once the tables exist."""
    with transaction.atomic(connection.alias):
        install_log(connection)
        has_tables = _exists(connection, "lockstep_delivery")  # not if only another app was migrated
        if has_tables:
            _run(connection, "lockstep_delivery", DELIVERY)
        secure()
    if has_tables:
        declare_subscriptions(connection)


def declare_subscriptions(connection: BaseDatabaseWrapper) -> None:
    """Inserts or updates the declared subscriptions; new ones begin here."""
    with connection.cursor() as cursor:
        for subscriber in registered():
            cursor.execute(UPKEEP["declare_subscription"], subscriber.row)


def empty_log(connection: BaseDatabaseWrapper) -> None:
    """Deletes all changes from the log, for `flush`. Needs its owner."""
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute(INSTALL["empty_log"])


def uninstall_log(connection: BaseDatabaseWrapper) -> None:
    """Drops the triggers, the change log and all functions; captured tables are kept."""
    uninstall_triggers(connection)
    with connection.cursor() as cursor:
        cursor.execute(INSTALL["uninstall"])


def _run(connection: BaseDatabaseWrapper, table: str, declared: Statements) -> None:
    """Executes the statements unless they are unchanged: the table's comment has their digest."""
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute(INSTALL["schema"])
        [schema] = cursor.fetchone() or [None]
        if schema is None:  # the search_path names no schema that exists, which migrate reports
            return
        own = {"schema": Statement(schema), "retention_days": literal(lockstep_settings.RETENTION_DAYS)}
        filled = declared.with_parts(**own) if declared is LOG else declared
        cursor.execute(INSTALL["comment"], [table])
        if cursor.fetchone() == (digest := _digest(filled.values()),):
            return
        for statement in filled.values():
            cursor.execute(statement)
        cursor.execute(INSTALL["set_comment"].with_parts(table=Statement(table), comment=literal(digest)))


def _digest(executed: Iterable[Statement]) -> str:
    return hashlib.sha256("\n".join(executed).encode()).hexdigest()[:16]
