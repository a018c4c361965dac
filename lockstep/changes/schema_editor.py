"""Updates capture triggers in the transaction of every migration that changes a table.

Django has no signal at the end of a migration's transaction, which only the schema editor sees. So the editor of
PostgreSQL is extended.
"""

from types import TracebackType

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddIndex
from django.db.migrations.state import ProjectState

from lockstep.changes.triggers import install_triggers
from lockstep.conf import HAS_CHANGE_LOG, lockstep_settings


class FollowedSchemaEditor(BaseDatabaseSchemaEditor):
    """A schema editor that installs the capture triggers at its end."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Installs them before the transaction is committed."""
        if kind is None and not self.collect_sql and is_followed(self.connection):
            install_triggers(self.connection)
        super().__exit__(kind, error, traceback)


class AddIndexBesideWriters(AddIndex):
    """Makes an index for which no writer waits, in a migration that is not atomic.

    Django's AddIndexConcurrently cannot be imported where there is no psycopg.
    """

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Makes it where the database has the table."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.add_index(model, self.index, concurrently=True)  # type: ignore[call-arg]  # PostgreSQL's

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Drops it where the database has the table."""
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.remove_index(model, self.index, concurrently=True)  # type: ignore[call-arg]  # PostgreSQL's


def follow_schema() -> None:
    """Extends the schema editor of every PostgreSQL backend that the project uses, and names the log's database.

    The models of the engine require that feature, so Django makes their tables in no other database.
    """
    for alias in settings.DATABASES:
        backend = type(connections[alias])
        editor = backend.SchemaEditorClass
        if backend.vendor == "postgresql" and not issubclass(editor, FollowedSchemaEditor):
            backend.SchemaEditorClass = type("SchemaEditor", (FollowedSchemaEditor, editor), {})
            has_log = property(lambda features: is_followed(features.connection))
            setattr(backend.features_class, HAS_CHANGE_LOG, has_log)


def is_followed(connection: BaseDatabaseWrapper) -> bool:
    """Whether this is the database with the change log, in PostgreSQL."""
    return connection.alias == lockstep_settings.DATABASE and connection.vendor == "postgresql"
