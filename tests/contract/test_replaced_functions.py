"""Functions that migrations create can be replaced by a later migration, in a session that has done nothing else.

So does `migrate` after one that was interrupted: its session lacks what the migrations before loaded into theirs.
"""

import psycopg
from django.apps import apps
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunSQL

from lockstep.tests.kit.servers import database_url


def functions_of_migrations() -> list[str]:
    """The SQL of this repository's migrations that creates or replaces functions."""
    labels = {config.label for config in apps.get_app_configs() if config.name.startswith(("lockstep", "backend"))}
    migrations = [one for (app, _), one in MigrationLoader(None).disk_migrations.items() if app in labels]
    operations = [one for migration in migrations for one in migration.operations if isinstance(one, RunSQL)]
    return [str(one.sql) for one in operations if "CREATE OR REPLACE FUNCTION" in str(one.sql)]


def test_a_migration_replaces_each_function_in_a_new_session(database: psycopg.Connection):
    assert database.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    statements = functions_of_migrations()
    assert any("FUNCTION shop_query(" in statement for statement in statements)
    for statement in statements:
        with psycopg.connect(database_url()) as session:
            session.execute(statement.encode())
            session.rollback()
