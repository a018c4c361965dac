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

from django.db import models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from lockstep.changes.capture import Capture, captures
from lockstep.changes.columns import AS_TEXT, column_of, document, seen, settings_for
from lockstep.sql import Statement, identifier, joined, literal, statements

CAPTURE = statements(__file__, "capture")
TRIGGERS = statements(__file__, "triggers")
NO_MEND = Statement("")
PREFIX = "lockstep_capture_"
# The event of each operation's trigger, and its form in the catalogue (sql/triggers.sql).
OPERATIONS = {
    "insert": (Statement("AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows"), "4 new_rows t"),
    "update": (
        Statement("AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"),
        "16 old_rows new_rows t",
    ),
    "delete": (Statement("AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows"), "8 old_rows t"),
    "truncate": (Statement("BEFORE TRUNCATE ON {table}"), "34 t"),
}
# As they are installed: source, security definer, settings, owner, public; and function, state, shape.
InstalledFunction = tuple[str, bool, list[str], str, bool]
InstalledTrigger = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Log:
    """Where the change log is: its schema and its owner, as SQL identifiers."""

    schema: Statement
    owner: Statement


@dataclass(frozen=True, slots=True)
class Trigger:
    """One capture trigger as it should be. `table` and `function` are qualified identifiers."""

    label: str
    operation: str
    table: Statement
    function: Statement
    source: Statement
    settings: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The name of the trigger; a table has one for each operation."""
        return PREFIX + self.operation

    @property
    def config(self) -> list[str]:
        """The settings of the function, in the catalogue's form."""
        return [f"{name}={value}" for name, value in self.settings]

    @property
    def create_function(self) -> Statement:
        """The statements that make the function."""
        (_, path), *others = self.settings
        setting = Statement("SET {name} = {value}")
        sets = (setting.with_parts(name=Statement(name), value=literal(value)) for name, value in others)
        return TRIGGERS["create_function"].with_parts(
            function=self.function, path=Statement(path), settings=joined(sets, " "), source=self.source
        )

    @property
    def create_trigger(self) -> Statement:
        """The statements that make the trigger; they lock the table against writers."""
        event = OPERATIONS[self.operation][0].with_parts(table=self.table)
        return TRIGGERS["create_trigger"].with_parts(
            name=identifier(self.name), event=event, function=self.function, table=self.table
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A captured model's table in the database: its qualified identifier and its columns."""

    name: Statement
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by which a write could bypass the log. `mend` is the SQL with which `migrate` repairs it; "" for none."""

    id: str
    sentence: str
    hint: str = "Run `manage.py migrate`, which mends it."
    mend: Statement = NO_MEND


def install_triggers(connection: BaseDatabaseWrapper) -> list[Statement]:
    """Installs the declared capture triggers, and drops all others. Returns the statements.

    Does nothing without a change log.
    """
    with connection.cursor() as cursor:
        mends = [fault.mend for fault in find_faults(cursor)]
        for mend in mends:
            cursor.execute(mend)
    return mends


def uninstall_triggers(connection: BaseDatabaseWrapper) -> None:
    """Drops all capture triggers and their functions."""
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS["installed"])
        dropped = [_drop_trigger(table, name) for table, name, *_ in cursor.fetchall()]
        cursor.execute(TRIGGERS["functions"])
        dropped += [_drop_function(function) for function, *_ in cursor.fetchall()]
        for statement in dropped:
            cursor.execute(statement)


def _drop_trigger(table: str, name: str) -> Statement:
    return TRIGGERS["drop_trigger"].with_parts(name=Statement(name), table=Statement(table))


def _drop_function(function: str) -> Statement:
    return TRIGGERS["drop_function"].with_parts(function=Statement(function))


def find_faults(cursor: CursorWrapper) -> Iterator[Fault]:
    """The differences between installed and declared capture triggers, in the order of repair."""
    if (log := find_log(cursor)) is None:
        return
    expected = {(one.table, one.name): one for one in expected_triggers(cursor, log)}
    cursor.execute(TRIGGERS["functions"])
    functions = {row[0]: row[1:] for row in cursor.fetchall()}
    cursor.execute(TRIGGERS["installed"])
    installed = {row[:2]: row[2:] for row in cursor.fetchall()}
    for key, one in expected.items():
        yield from _faults_of_function(one, functions.get(one.function), log)
        yield from _faults_of_trigger(one, installed.get(key))
    for table, name in sorted(installed.keys() - expected.keys()):
        sentence = f"{table} has the trigger {name}, and no model with this table is captured."
        yield Fault("E016", sentence, mend=_drop_trigger(table, name))
    for function in sorted(functions.keys() - {one.function for one in expected.values()}):
        yield Fault("E017", f"No capture trigger needs the function {function}.", mend=_drop_function(function))


def _faults_of_function(one: Trigger, found: InstalledFunction | None, log: Log) -> Iterator[Fault]:
    if found is None:
        yield Fault("E008", f"The function {one.function} is missing.", mend=one.create_function)
        return
    source, is_definer, config, owner, is_public = found
    if source.strip() != one.source:
        yield Fault("E008", f"The function {one.function} was altered, or is outdated.", mend=one.create_function)
    if not is_definer or config != one.config:
        sentence = f"The function {one.function} depends on the rights or the settings of the session that writes."
        yield Fault("E009", sentence, mend=one.create_function)
    if owner != log.owner or is_public:
        sentence = f"The function {one.function} can be called by roles other than the owner of the log."
        signature = Statement("{function}()").with_parts(function=one.function)
        mend = TRIGGERS["own_function"].with_parts(signature=signature, owner=log.owner)
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
    cursor.execute(TRIGGERS["log"])
    row = cursor.fetchone()
    return Log(*map(Statement, row)) if row else None


def expected_triggers(cursor: CursorWrapper, log: Log) -> Iterator[Trigger]:
    """The triggers of every captured model with a table in this database, for its existing columns."""
    here = [capture for capture in captures() if router.allow_migrate_model(cursor.db.alias, capture.model)]
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
    cursor.execute(TRIGGERS["tables"], [list(names.values())])
    found = {quoted: Table(Statement(name), frozenset(columns)) for quoted, name, columns in cursor.fetchall()}
    return {model: found[name] for model, name in names.items() if name in found}


def _triggers(capture: Capture, columns: tuple[str, ...], table: Table, schema: Statement) -> Iterator[Trigger]:
    model = capture.model
    bodies = CAPTURE.with_parts(
        label=literal(capture.label),
        mark=literal(f"lockstep.within_{capture.label}"),
        table=table.name,
        table_name=literal(table.name),
        pk=identifier(column_of(model, "pk")),
        old_document=document(model, columns, "o"),
        new_document=document(model, columns, "n"),
        document_now=document(model, columns, "t"),
        old_seen=seen(model, "o", capture.soft_delete),
        new_seen=seen(model, "n", capture.soft_delete),
        seen_now=seen(model, "t", capture.soft_delete),
    )
    path = ("search_path", f"pg_catalog, {schema}, pg_temp")
    settings = (path, *((name, AS_TEXT[name]) for name in AS_TEXT if name in settings_for(model, columns)))
    for operation in OPERATIONS:
        name = Statement(function_name(operation, table))
        function = Statement("{schema}.{name}").with_parts(schema=schema, name=name)
        source = TRIGGERS["function_source"].with_parts(body=bodies[operation])
        yield Trigger(capture.label, operation, table.name, function, source, settings)


def function_name(operation: str, table: Table) -> str:
    """The name of an operation's function for a table, within the 63 characters of an identifier."""
    plain = re.sub(r"\W", "_", table.name.rpartition(".")[2].lower(), flags=re.ASCII).strip("_")
    return f"{PREFIX}{operation}_{plain[:28]}_{hashlib.sha256(table.name.encode()).hexdigest()[:6]}"
