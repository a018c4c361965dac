"""What keeps a session from writing past the log, the ledger and the states: said here, for `migrate` and `check`.

Each function of a trigger of ours runs with its owner's rights, with `search_path = pg_catalog, <the log's schema>,
pg_temp`, and with the settings by which captured values are shown: whatever tables, functions, operators and settings
the writer's session has, and whatever the writer may not do, the function finds what it means and may do it. No other
role may put it behind a trigger of its own. The triggers are ENABLE ALWAYS, so that session_replication_role does not
switch them off, and every partition of the log refuses edits.

pgtrigger writes the functions and triggers without all that. `migrate` adds it, after each migration and for whatever
was made meanwhile (`protect`), `manage.py check --database default` reports what is missing (`find_faults`). See
docs/decisions/0048.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pgtrigger
from django.conf import settings
from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from lockstep.changes.capture import Capture
from lockstep.changes.sql_file import load

PROTECTION = load(Path(__file__).parent / "sql" / "protection.sql")
SCHEMA = load(Path(__file__).parent / "sql" / "schema.sql")
# Functions of schema.sql that run with their owner's rights, and the statement that makes each.
OWN_FUNCTIONS = {
    "changes_refuse_edit": "append_only",
    "changes_make_partitions": "make_partitions",
    "changes_drop_week": "drop_week",
    "changes_send": "send",
}
BODY = re.compile(r"\$\$(.*?)\$\$", re.DOTALL)
TRIGGER_BODY = re.compile(r"RETURNS TRIGGER AS \$\$(.*?)\$\$ LANGUAGE plpgsql", re.DOTALL)
# Definitions of a trigger and of its twin on a temporary table differ in these.
NAME = r'(?:"(?:[^"]|"")+"|\w+)'
PLACES = re.compile(rf" ON {NAME}\.{NAME} | EXECUTE FUNCTION .*$")
STAND_IN = "pg_catalog.suppress_redundant_updates_trigger()"  # a trigger function that everybody may use


@dataclass(frozen=True, slots=True)
class Fault:
    """Something by which a write could pass by the log. `mend` is the SQL by which `migrate` mends it; "" for none."""

    id: str
    sentence: str
    hint: str = "Run `manage.py migrate`, which mends it."
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """Where the log is: its schema and its owner, as SQL identifiers."""

    schema: str
    owner: str


@dataclass(frozen=True, slots=True)
class Declared:
    """A trigger that a model declares: what it is called in sentences, and what pgtrigger makes of it.

    `settings` are what its function sets, beside the path.
    """

    name: str
    uri: str
    pgid: str
    table: str
    hash: str
    install: str
    parts: Mapping[str, str]
    settings: Sequence[tuple[str, str]]

    @property
    def body(self) -> str:
        """The source of its function."""
        match = TRIGGER_BODY.search(self.install)
        assert match  # noqa: S101 - pgtrigger's template
        return match[1]


def find_faults(using: str = "default", *, compare_definitions: bool = True) -> Iterator[Fault]:
    """Everything by which a write could pass by the log, the ledger or the states of a database that is migrated.

    To compare the definitions of triggers takes most of the time, 0.15 s.
    """
    with connections[using].cursor() as cursor:
        if log := _log(cursor):
            declared = list(_declared())
            definitions = _definitions(cursor, log, declared) if compare_definitions else []
            yield from _faults_of_triggers(cursor, log, declared, definitions)
            yield from _faults_of_functions(cursor, log, declared)
            yield from _faults_of_the_log(cursor, log)
            yield from _trigger_makers(cursor, log, declared)


def protect(using: str = "default") -> None:
    """Mends what can be mended without a person, and gives the application role its rights."""
    with transaction.atomic(using), connections[using].cursor() as cursor:
        for _ in range(2):  # what the first look makes anew has lost its settings
            for mend in [fault.mend for fault in find_faults(using, compare_definitions=False) if fault.mend]:
                cursor.execute(mend)
        if settings.APPLICATION_ROLE:
            _grant(using, settings.APPLICATION_ROLE)


def _log(cursor: CursorWrapper) -> Log | None:
    cursor.execute(PROTECTION["log"])
    row = cursor.fetchone()
    return Log(*row) if row else None


def _declared() -> Iterator[Declared]:
    for model, trigger in pgtrigger.registered():
        sql = trigger.compile(model).sql
        name = f"{model._meta.label}: trigger {trigger.name}"
        parts = {**sql.defaults, **sql.kwargs}
        uri = trigger.get_uri(model)
        # The stubs take what pgtrigger returns, a class, for one of its objects.
        own = trigger.settings_of(model) if isinstance(trigger, Capture) else []  # type: ignore[arg-type]
        yield Declared(name, uri, sql.pgid, model._meta.db_table, sql.hash, str(sql), parts, own)


def _faults_of_triggers(
    cursor: CursorWrapper, log: Log, declared: list[Declared], definitions: list[Mapping[str, str]]
) -> Iterator[Fault]:
    cursor.execute(PROTECTION["triggers"], {"schema": log.schema})
    there = {(table, name): rest for table, name, *rest in cursor.fetchall()}
    for one in declared:
        found = there.get((one.table, one.pgid))
        reinstall = (
            f"Run `manage.py pgtrigger install {one.uri}`, then migrate. Changes since it went are not in the log."
        )
        if found is None:
            yield Fault("E003", f"{one.name} is uninstalled.", reinstall)
            continue
        comment, enabled, definition, function, is_of_schema = found
        if comment != one.hash:
            yield Fault("E003", f"{one.name} is outdated.", reinstall)
        elif (function, is_of_schema) != (one.pgid, True) or _differs(
            definition, [each[one.pgid] for each in definitions]
        ):
            yield Fault("E006", f"{one.name} was altered.", reinstall)
        if enabled in "DR":
            hint = f"Run `manage.py pgtrigger enable {one.uri}`, then migrate. It did not see what was written since."
            yield Fault("E004", f"{one.name} is disabled.", hint)
        elif enabled != "A":
            mend = f'ALTER TABLE {log.schema}."{one.table}" ENABLE ALWAYS TRIGGER {one.pgid}'
            yield Fault("E007", f"{one.name} can be switched off by session_replication_role.", mend=mend)


def _differs(definition: str, expected: list[str]) -> bool:
    """From all that are expected, if any are."""
    return bool(expected) and PLACES.sub(" ", definition) not in [PLACES.sub(" ", each) for each in expected]


def _definitions(cursor: CursorWrapper, log: Log, declared: list[Declared]) -> list[Mapping[str, str]]:
    """What PostgreSQL makes of each declared trigger, by its name, and then of its own words for it.

    Only it knows how a condition is written down. In a dump that was restored it has read what it wrote, which may be
    nested otherwise. Empty where there can be no temporary tables, as on a replica.
    """
    cursor.execute(PROTECTION["can_have_temporary_tables"])
    if cursor.fetchone() != (True,):
        return []
    tables = {table: f"changes_expected_{n}" for n, table in enumerate(sorted({one.table for one in declared}))}
    statements = [f'CREATE TEMPORARY TABLE {twin} (LIKE {log.schema}."{table}")' for table, twin in tables.items()]
    statements += [_twin(one, tables[one.table]) for one in declared]
    with transaction.atomic(cursor.db.alias):
        cursor.execute(";".join(statements))
        cursor.execute(PROTECTION["definitions"])
        declared_ones = dict(cursor.fetchall())
        restored = [f"DROP TRIGGER {one.pgid} ON pg_temp.{tables[one.table]}" for one in declared]
        cursor.execute(";".join([*restored, *declared_ones.values()]))
        cursor.execute(PROTECTION["definitions"])
        restored_ones = dict(cursor.fetchall())
        transaction.set_rollback(True, cursor.db.alias)
    return [declared_ones, restored_ones]


def _twin(one: Declared, table: str) -> str:
    words = ("constraint", "timing", "referencing", "level", "condition", "when", "operation")
    constraint, timing, referencing, level, condition, when, operation = (one.parts[word] for word in words)
    return (
        f"CREATE {constraint} TRIGGER {one.pgid} {when} {operation} ON pg_temp.{table} {timing} {referencing}"
        f" FOR EACH {level} {condition} EXECUTE FUNCTION {STAND_IN}"
    )


def _faults_of_functions(cursor: CursorWrapper, log: Log, declared: list[Declared]) -> Iterator[Fault]:
    installs = {one.pgid: f"Run `manage.py pgtrigger install {one.uri}`, then migrate." for one in declared}
    bodies = {one.pgid: one.body for one in declared}
    for name, statement in OWN_FUNCTIONS.items():
        bodies[name] = BODY.findall(SCHEMA[statement])[0]
    own_settings = {one.pgid: one.settings for one in declared}
    path = ("search_path", f"pg_catalog, {log.schema}, pg_temp")
    cursor.execute(PROTECTION["functions"], {"schema": log.schema, "names": list(bodies)})
    for name, signature, source, language, is_definer, config, owner, is_public in cursor.fetchall():
        if (source, language) != (bodies[name], "plpgsql"):
            own = OWN_FUNCTIONS.get(name)
            hint = installs.get(name, "Run `manage.py migrate`, which mends it.")
            yield Fault("E008", f"The function {name} was altered.", hint, mend=SCHEMA[own] if own else "")
        settings_of_it = [path, *own_settings.get(name, [])]
        if not is_definer or config != [f"{setting}={value}" for setting, value in settings_of_it]:
            sets = [f"ALTER FUNCTION {signature} SET {setting} = {value}" for setting, value in settings_of_it]
            yield Fault(
                "E009",
                f"The function {name} depends on the rights or the settings of the session that writes.",
                mend=";".join([f"ALTER FUNCTION {signature} SECURITY DEFINER RESET ALL", *sets]),
            )
        if owner != log.owner or is_public:
            yield Fault(
                "E010",
                f"The function {name} can be called by others than the owner of the log.",
                mend=f"ALTER FUNCTION {signature} OWNER TO {log.owner}; REVOKE ALL ON FUNCTION {signature} FROM PUBLIC",
            )


def _faults_of_the_log(cursor: CursorWrapper, log: Log) -> Iterator[Fault]:
    cursor.execute(PROTECTION["unguarded"])
    for (table,) in cursor.fetchall():
        mend = PROTECTION["guard"].replace("{}", f'{log.schema}."{table}"')
        yield Fault("E011", f"{table}, a table of the change log, does not refuse edits.", mend=mend)
    cursor.execute(PROTECTION["writers"], {"owner": log.owner})
    for role, tables in cursor.fetchall():
        hint = f"REVOKE ALL ON {', '.join(tables)} FROM {role}, or from what it is a member of; then GRANT SELECT."
        yield Fault("E012", f"The role {role} may write the change log: {', '.join(tables)}.", hint)
    cursor.execute(PROTECTION["ignorable"])
    if cursor.fetchone() == (True,):
        mend = PROTECTION["ignore_nothing"]
        yield Fault("E005", "A session can switch triggers off (pgtrigger.ignore).", mend=mend)
    cursor.execute(PROTECTION["retention_days"])
    days = settings.CHANGE_LOG_RETENTION_DAYS
    if cursor.fetchone() not in (None, (f"SELECT {days}",)):
        mend = PROTECTION["set_retention_days"].format(log.schema, days)
        yield Fault("E014", f"The database keeps the change log for another time than {days} days.", mend=mend)
    if reason := role_fault(cursor, settings.APPLICATION_ROLE):
        hint = "See `A role for web and worker` in docs/security.md."
        yield Fault("E013", f"APPLICATION_ROLE={settings.APPLICATION_ROLE}: the role {reason}.", hint)


def _trigger_makers(cursor: CursorWrapper, log: Log, declared: list[Declared]) -> Iterator[Fault]:
    tables = sorted({one.table for one in declared})
    cursor.execute(PROTECTION["trigger_makers"], {"schema": log.schema, "owner": log.owner, "tables": tables})
    for role, table in cursor.fetchall():
        yield Fault("E015", f"The role {role} may put triggers on {table}.", f"REVOKE TRIGGER ON {table} FROM {role}.")


def role_fault(cursor: CursorWrapper, role: str) -> str | None:
    """Why the log is not safe from a role, as the end of a sentence."""
    if not role or not (log := _log(cursor)):
        return None
    cursor.execute(PROTECTION["role"], {"owner": log.owner, "role": role})
    row = cursor.fetchone()
    return str(row[0]) if row and row[0] else None if row else "does not exist"


class UnfitRole(Exception):
    """APPLICATION_ROLE cannot have the rights of web and worker."""


def _grant(using: str, role: str) -> None:
    """The rights of web and worker: to read and write rows, and only to read the log."""
    quote = connections[using].ops.quote_name
    with connections[using].cursor() as cursor:
        log = _log(cursor)
        cursor.execute("SELECT to_regproc('changes_send') IS NOT NULL")
        if not log or cursor.fetchone() != (True,):
            return  # not migrated so far
        if reason := role_fault(cursor, role):
            raise UnfitRole(
                f"APPLICATION_ROLE={role}: the role {reason}. See `A role for web and worker` in docs/security.md."
            )
        for statement in grants(cursor, log, quote(role)):
            cursor.execute(statement)


def grants(cursor: Any, log: Log, role: str) -> Iterator[str]:  # noqa: ANN401 - any cursor
    """The statements that give a role, by its identifier, all rights that web and worker need."""
    cursor.execute(PROTECTION["relations"], {"schema": log.schema, "owner": log.owner})
    relations = cursor.fetchall()
    cursor.execute(PROTECTION["read_only"])
    read_only = [name for (name,) in cursor.fetchall()]
    tables = [name for name, is_sequence in relations if not is_sequence]
    sequences = [name for name, is_sequence in relations if is_sequence]
    for kind, names in (("TABLE", [*tables, *read_only]), ("SEQUENCE", [*sequences, "changes_change_seq"])):
        yield f"REVOKE ALL ON {kind} {', '.join(names)} FROM {role}"
    yield f"GRANT USAGE ON SCHEMA {log.schema} TO {role}"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(tables)} TO {role}"
    yield f"GRANT USAGE, SELECT, UPDATE ON SEQUENCE {', '.join(sequences)} TO {role}"  # an import moves numbers on
    yield f"GRANT SELECT ON {', '.join(read_only)} TO {role}"
    # Partitions that are made later.
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {log.schema} GRANT SELECT ON TABLES TO {role}"
    for function in (
        "changes_make_partitions(int)",
        "changes_drop_week(text)",
        "changes_send(text, text, jsonb, text)",
    ):
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {role}"
