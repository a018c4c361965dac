"""The capture triggers: rendered from the declarations, for the columns that the tables have.

Every schema change through Django (schema_editor.py) ends with `install_triggers` in the same transaction, and so does
`migrate`: dropped, added and renamed columns are captured as declared from then on, and no trigger names a missing
column.

Each function runs with its owner's rights, with `search_path = pg_catalog, <the log's schema>, pg_temp` and with the
settings that format values as text, so that it does not depend on tables, functions, settings and rights of the
writer's session. The triggers are ENABLE ALWAYS, so that session_replication_role does not disable them.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from django.db import models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from lockstep.changes.capture import Capture, captures
from lockstep.changes.sql_file import load

BODIES = load(Path(__file__).parent / "sql" / "capture.sql")
SQL = load(Path(__file__).parent / "sql" / "triggers.sql")
PREFIX = "lockstep_capture_"
# The event of each operation's trigger, and its form in the catalogue (sql/triggers.sql).
OPERATIONS = {
    "insert": ("AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows", "4 new_rows t"),
    "update": (
        "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "16 old_rows new_rows t",
    ),
    "delete": ("AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows", "8 old_rows t"),
    "truncate": ("BEFORE TRUNCATE ON {table}", "34 t"),
}
UTC = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
# Settings by which PostgreSQL formats values as text, and their values in the capture functions.
AS_TEXT = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
AnyField: TypeAlias = "models.Field[Any, Any]"
# Fields whose text depends on none of these settings; others that are not in SENSITIVE get all of them.
PLAIN: tuple[type[AnyField], ...] = (
    *(models.BooleanField, models.CharField, models.DateField, models.DecimalField, models.FileField),
    *(models.FilePathField, models.GenericIPAddressField, models.IntegerField, models.JSONField, models.TextField),
    *(models.TimeField, models.UUIDField),
)
SENSITIVE: dict[type[AnyField], tuple[str, ...]] = {
    models.FloatField: ("extra_float_digits",),
    models.DurationField: ("IntervalStyle",),
    models.BinaryField: ("bytea_output",),
}
# As they are installed: source, security definer, settings, owner, public; and function, state, shape.
InstalledFunction = tuple[str, bool, list[str], str, bool]
InstalledTrigger = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Log:
    """Where the change log is: its schema and its owner, as SQL identifiers."""

    schema: str
    owner: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """One capture trigger as it should be. `table` and `function` are qualified identifiers."""

    label: str
    operation: str
    table: str
    function: str
    body: str
    settings: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The name of the trigger; a table has one for each operation."""
        return PREFIX + self.operation

    @property
    def source(self) -> str:
        """The source of the function."""
        return f"\nBEGIN\n{self.body}\nRETURN NULL;\nEND\n"

    @property
    def config(self) -> list[str]:
        """The settings of the function, in the catalogue's form."""
        return [f"{name}={value}" for name, value in self.settings]

    @property
    def create_function(self) -> str:
        """The statements that make the function."""
        (_, path), *others = self.settings
        sets = " ".join([f"SET search_path = {path}", *(f"SET {name} = '{value}'" for name, value in others)])
        return (
            f"CREATE OR REPLACE FUNCTION {self.function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {sets} "
            f"AS $lockstep${self.source}$lockstep$;\nREVOKE ALL ON FUNCTION {self.function}() FROM PUBLIC"
        )

    @property
    def create_trigger(self) -> str:
        """The statements that make the trigger; they lock the table against writers."""
        event = OPERATIONS[self.operation][0].format(table=self.table)
        return (
            f"CREATE OR REPLACE TRIGGER {self.name} {event} FOR EACH STATEMENT EXECUTE FUNCTION {self.function}();\n"
            f"ALTER TABLE {self.table} ENABLE ALWAYS TRIGGER {self.name}"
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A captured model's table in the database: its qualified identifier and its columns."""

    name: str
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by which a write could bypass the log. `mend` is the SQL with which `migrate` repairs it; "" for none."""

    id: str
    sentence: str
    hint: str = "Run `manage.py migrate`, which mends it."
    mend: str = ""


def install_triggers(connection: BaseDatabaseWrapper) -> list[str]:
    """Installs the declared capture triggers, and drops all others. Returns the statements.

    Does nothing without a change log.
    """
    with connection.cursor() as cursor:
        statements = [fault.mend for fault in find_faults(cursor, connection.alias)]
        for statement in statements:
            cursor.execute(statement)
    return statements


def uninstall_triggers(connection: BaseDatabaseWrapper) -> list[str]:
    """Drops all capture triggers and their functions. Returns the statements."""
    with connection.cursor() as cursor:
        cursor.execute(SQL["installed"])
        statements = [f"DROP TRIGGER {name} ON {table}" for table, name, *_ in cursor.fetchall()]
        cursor.execute(SQL["functions"])
        statements += [f"DROP FUNCTION {function}()" for function, *_ in cursor.fetchall()]
        for statement in statements:
            cursor.execute(statement)
    return statements


def find_faults(cursor: CursorWrapper, alias: str) -> Iterator[Fault]:
    """The differences between installed and declared capture triggers, in the order of repair."""
    if (log := find_log(cursor)) is None:
        return
    expected = {(one.table, one.name): one for one in expected_triggers(cursor, alias, log)}
    cursor.execute(SQL["functions"])
    functions = {row[0]: row[1:] for row in cursor.fetchall()}
    cursor.execute(SQL["installed"])
    installed = {row[:2]: row[2:] for row in cursor.fetchall()}
    for key, one in expected.items():
        yield from _faults_of_function(one, functions.get(one.function), log)
        yield from _faults_of_trigger(one, installed.get(key))
    for table, name in sorted(installed.keys() - expected.keys()):
        sentence = f"{table} has the trigger {name}, and no model with this table is captured."
        yield Fault("E016", sentence, mend=f"DROP TRIGGER {name} ON {table}")
    for function in sorted(functions.keys() - {one.function for one in expected.values()}):
        yield Fault("E017", f"No capture trigger needs the function {function}.", mend=f"DROP FUNCTION {function}()")


def _faults_of_function(one: Trigger, found: InstalledFunction | None, log: Log) -> Iterator[Fault]:
    if found is None:
        yield Fault("E008", f"The function {one.function} is missing.", mend=one.create_function)
        return
    source, is_definer, config, owner, is_public = found
    if source != one.source:
        yield Fault("E008", f"The function {one.function} was altered, or is outdated.", mend=one.create_function)
    if not is_definer or config != one.config:
        sentence = f"The function {one.function} depends on the rights or the settings of the session that writes."
        yield Fault("E009", sentence, mend=one.create_function)
    if owner != log.owner or is_public:
        sentence = f"The function {one.function} can be called by roles other than the owner of the log."
        signature = f"{one.function}()"
        mend = f"ALTER FUNCTION {signature} OWNER TO {log.owner}; REVOKE ALL ON FUNCTION {signature} FROM PUBLIC"
        yield Fault("E010", sentence, mend=mend)


def _faults_of_trigger(one: Trigger, found: InstalledTrigger | None) -> Iterator[Fault]:
    name = f"{one.label}: the trigger {one.name}"
    lost = "Run `manage.py migrate`, which mends it. Changes that were made without it are not in the log."
    if found is None:
        yield Fault("E003", f"{name} is missing.", lost, one.create_trigger)
        return
    function, enabled, shape = found
    if (function, shape) != (one.function, OPERATIONS[one.operation][1]):
        yield Fault("E006", f"{name} was altered.", lost, one.create_trigger)
    elif enabled in "DR":
        yield Fault("E004", f"{name} is disabled.", lost, one.create_trigger)
    elif enabled != "A":
        yield Fault("E007", f"{name} can be switched off by session_replication_role.", mend=one.create_trigger)


def find_log(cursor: CursorWrapper) -> Log | None:
    """The change log's schema and owner; None where there is none."""
    cursor.execute(SQL["log"])
    row = cursor.fetchone()
    return Log(*row) if row else None


def expected_triggers(cursor: CursorWrapper, alias: str, log: Log) -> Iterator[Trigger]:
    """The triggers of every captured model with a table in this database, for its existing columns."""
    here = [capture for capture in captures() if router.allow_migrate_model(alias, capture.model)]
    tables = find_tables(cursor, [capture.model for capture in here])
    for capture in here:
        model = capture.model
        if (table := tables.get(model)) is None:
            continue
        columns = tuple(name for name in capture.columns if column_of(model, name) in table.columns)
        needed = {column_of(model, name) for name in ("pk", capture.soft_delete) if name}
        if columns and needed <= table.columns:
            yield from _triggers(capture, columns, table, log.schema)


def find_tables(cursor: CursorWrapper, wanted: list[type[models.Model]]) -> dict[type[models.Model], Table]:
    """The existing tables of these models."""
    names = {model: cursor.db.ops.quote_name(model._meta.db_table) for model in wanted}
    cursor.execute(SQL["tables"], [list(names.values())])
    found = {asked: Table(name, frozenset(columns)) for asked, name, columns in cursor.fetchall()}
    return {model: found[name] for model, name in names.items() if name in found}


def _triggers(capture: Capture, columns: tuple[str, ...], table: Table, schema: str) -> Iterator[Trigger]:
    model = capture.model
    words = {
        "label": capture.label,
        "table": table.name,
        "pk": quote(column_of(model, "pk")),
        "old_document": document(model, columns, "o"),
        "new_document": document(model, columns, "n"),
        "document_now": document(model, columns, "t"),
        "old_seen": seen(model, "o", capture.soft_delete),
        "new_seen": seen(model, "n", capture.soft_delete),
        "seen_now": seen(model, "t", capture.soft_delete),
    }
    path = ("search_path", f"pg_catalog, {schema}, pg_temp")
    settings = (path, *((name, AS_TEXT[name]) for name in AS_TEXT if name in _settings_for(model, columns)))
    for operation in OPERATIONS:
        body = BODIES[operation].replace("{overtaken}", BODIES["overtaken"]).format(**words)
        function = f"{schema}.{function_name(operation, table)}"
        yield Trigger(capture.label, operation, table.name, function, body, settings)


def function_name(operation: str, table: Table) -> str:
    """The name of an operation's function for a table, within the 63 characters of an identifier."""
    plain = re.sub(r"\W", "_", table.name.rpartition(".")[2].lower(), flags=re.ASCII).strip("_")
    return f"{PREFIX}{operation}_{plain[:28]}_{hashlib.sha256(table.name.encode()).hexdigest()[:6]}"


def document(model: type[models.Model], columns: tuple[str, ...], row: str) -> str:
    """SQL: the captured columns of a row as jsonb."""
    pairs = ", ".join(f"{literal(name)}, {_value(model, name, row)}" for name in columns)
    return f"jsonb_build_object({pairs})"


def seen(model: type[models.Model], row: str, soft_delete: str | None) -> str:
    """SQL: whether the row exists and is not softly deleted."""
    exists = f"{row}.{quote(column_of(model, 'pk'))} IS NOT NULL"
    return f"{exists} AND {row}.{quote(column_of(model, soft_delete))} IS NULL" if soft_delete else exists


def _value(model: type[models.Model], name: str, row: str) -> str:
    """SQL: a column's logged value. Decimals are strings, because JSON numbers are read as floats."""
    column = f"{row}.{quote(column_of(model, name))}"
    kind, of_array = _kind(model, name)
    if isinstance(kind, models.DecimalField):
        return f"{column}::text{'[]' * of_array}"
    if of_array:
        return column
    if isinstance(kind, models.DateTimeField):
        text = f"to_char({column} AT TIME ZONE 'UTC', '{UTC}')"
        # to_char cannot show infinity and years before Christ.
        return f"CASE WHEN {column} >= '0001-01-01Z' AND {column} < 'infinity' THEN {text} ELSE {column}::text END"
    return column


def _kind(model: type[models.Model], name: str) -> tuple[AnyField, bool]:
    """The field that decides how a column is written, and whether the column is an array of such.

    Of a foreign key it is the field that it refers to, of a generated column its result, of an array its element.
    """
    field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
    of_array = False
    while True:
        if isinstance(field, models.ForeignKey):
            field = field.target_field
        elif isinstance(field, models.GeneratedField):
            field = field.output_field
        elif hasattr(field, "base_field") and not hasattr(field, "range_type"):  # an ArrayField, which needs psycopg
            field, of_array = field.base_field, True
        else:
            return field, of_array


def _settings_for(model: type[models.Model], columns: tuple[str, ...]) -> set[str]:
    """The settings that decide how these columns and the key are formatted as text."""
    found: set[str] = set()
    for name in ("pk", *columns):
        kind, of_array = _kind(model, name)
        sensitive = [settings for field, settings in SENSITIVE.items() if isinstance(kind, field)]
        if sensitive:
            found.update(*sensitive)
        elif isinstance(kind, models.DateTimeField) or (of_array and isinstance(kind, models.DateField)):
            found.update(("TimeZone", "DateStyle"))  # of times beyond the calendar, and of those in arrays
        elif not isinstance(kind, PLAIN):
            found.update(AS_TEXT)
    return found


def column_of(model: type[models.Model], name: str) -> str:
    """The column of a field by its name, or of "pk". Raises ValueError where it has none."""
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    column = getattr(field, "column", None)
    if column is None:
        raise ValueError(f"{model._meta.label} has no column for {name!r}.")
    return str(column)


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"
