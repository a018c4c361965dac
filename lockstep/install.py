"""Installs the engine's objects in a database: the change log, functions, triggers, rights.

`migrate` makes and updates them, without SQL in migrations, so that projects that test without migrations have them
too.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from lockstep.changes.protection import secure
from lockstep.changes.sql_file import load
from lockstep.changes.triggers import install_triggers, uninstall_triggers
from lockstep.conf import lockstep_settings
from lockstep.delivery.database import SQL
from lockstep.delivery.subscriptions import registered

HERE = Path(__file__).parent
LOG = load(HERE / "changes" / "sql" / "schema.sql")
DELIVERY = load(HERE / "delivery" / "sql" / "schema.sql")
MANAGEMENT = load(HERE / "changes" / "sql" / "install.sql")


def has_log(connection: BaseDatabaseWrapper) -> bool:
    """Whether the database has a change log."""
    return _exists(connection, "lockstep_change")


def _exists(connection: BaseDatabaseWrapper, table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table])
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
        install_triggers(connection)
        secure(connection.alias)
    if has_tables:
        declare_subscriptions(connection)


def declare_subscriptions(connection: BaseDatabaseWrapper) -> None:
    """Inserts or updates the declared subscriptions; new ones begin here."""
    with connection.cursor() as cursor:
        for subscriber in registered():
            cursor.execute(SQL["upkeep"]["declare_subscription"], subscriber.row)


def empty_log(connection: BaseDatabaseWrapper) -> None:
    """Deletes all changes from the log, for `flush`. Needs its owner."""
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute(MANAGEMENT["empty_log"])


def uninstall_log(connection: BaseDatabaseWrapper) -> None:
    """Drops the triggers, the change log and all functions; captured tables are kept."""
    uninstall_triggers(connection)
    with connection.cursor() as cursor:
        cursor.execute(MANAGEMENT["uninstall"])


def _run(connection: BaseDatabaseWrapper, table: str, statements: dict[str, str]) -> None:
    """Executes the statements unless they are unchanged: the table's comment has their digest."""
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute(MANAGEMENT["schema"])
        [schema] = cursor.fetchone() or [None]
        if schema is None:  # the search_path names no schema that exists, which migrate reports
            return
        filled = [_filled(statement, schema) for statement in statements.values()]
        cursor.execute(MANAGEMENT["comment"], [table])
        if cursor.fetchone() == (digest := _digest(filled),):
            return
        for statement in filled:
            cursor.execute(statement)
        cursor.execute(f"COMMENT ON TABLE {table} IS '{digest}'")


def _filled(statement: str, schema: str) -> str:
    days = str(lockstep_settings.RETENTION_DAYS)
    return statement.replace("{schema}", schema).replace("{retention_days}", days)


def _digest(statements: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()[:16]
