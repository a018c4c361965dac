"""Compares the applied migrations of a database with those of this code."""

from collections.abc import Collection

from django.apps import apps
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from lockstep.changes.capture import capture_of
from lockstep.conf import engine_apps

__all__ = ["is_of_later_version", "migrations_are_pending", "unknown_migrations"]

Migration = tuple[str, str]  # app label, name


def migrations_are_pending(database: str) -> bool:
    """Whether this database lacks a migration."""
    executor = MigrationExecutor(connections[database])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def unknown_migrations(database: str, former: Collection[str] = ()) -> list[str]:
    """The applied migrations of our apps that are not on disk, as "posts.0005_edition"; sorted.

    Migrations of libraries are ignored. `former` are labels of removed apps.
    """
    ours = _our_apps().union(former)
    return sorted(f"{app}.{name}" for app, name in _applied(database) - on_disk() if app in ours)


def is_of_later_version(database: str) -> bool:
    """Whether the database has all migrations of our apps, and unknown ones.

    After a step back from a later version nothing is migrated, and that version's triggers, functions and rights are
    neither checked nor replaced.
    """
    applied = _applied(database)
    ours = {migration for migration in on_disk() if migration[0] in _our_apps()}
    return ours <= applied and bool(unknown_migrations(database))


def _our_apps() -> set[str]:
    """The engine's, and those that have a captured model."""
    own = [app for app in apps.get_app_configs() if any(map(capture_of, app.get_models()))]
    return {app.label for app in (*engine_apps(), *own)}


def _applied(database: str) -> set[Migration]:
    return set(MigrationRecorder(connections[database]).applied_migrations())


def on_disk() -> set[Migration]:
    """The migrations of the running code. Too slow for a probe."""
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    return set(loader.disk_migrations)
