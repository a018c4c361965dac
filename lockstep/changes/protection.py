"""Protection against writes that bypass the change log, for `migrate` and `check`.

triggers.py has the capture triggers. Beside them: every partition of the log refuses edits, its functions run with
their owner's rights and independent of the writer's session, and no other role may write the log or create triggers on
captured tables. SECURE_PGTRIGGERS applies the same to triggers of django-pgtrigger. `migrate` repairs faults
(`secure`), `manage.py check --database default` reports them. See docs/decisions/0048.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.backends.utils import CursorWrapper

from lockstep.changes import triggers
from lockstep.changes.commands import counted
from lockstep.changes.triggers import NO_MEND, TRIGGERS, Fault, Log, find_log
from lockstep.conf import lockstep_settings, log_connection
from lockstep.sql import Statement, identifier, joined, literal, statements

__all__ = ["UnfitRole", "secure"]

PROTECTION = statements(__file__, "protection")
SCHEMA = statements(__file__, "schema")
# Functions of schema.sql that run with their owner's rights, and the statements that make them.
OWN_FUNCTIONS = {
    "lockstep_refuse_edit": "append_only",
    "lockstep_make_partitions": "make_partitions",
    "lockstep_drop_week": "drop_week",
    "lockstep_send": "send",
}
BODY = re.compile(r"\$\$(.*?)\$\$", re.DOTALL)
TRIGGER_BODY = re.compile(r"RETURNS TRIGGER AS \$\$(.*?)\$\$ LANGUAGE plpgsql", re.DOTALL)
# The parts in which definitions of a trigger and of its copy on a temporary table differ.
NAME = r'(?:"(?:[^"]|"")+"|\w+)'
PLACES = re.compile(rf" ON {NAME}\.{NAME} | EXECUTE FUNCTION .*$")


@dataclass(frozen=True, slots=True)
class Declared:
    """A trigger that a model declares with pgtrigger: its name for messages, and pgtrigger's compilation."""

    name: str
    uri: str
    pgid: str
    table: str
    hash: str
    install: str
    parts: Mapping[str, str]

    @property
    def body(self) -> str:
        """The source of its function."""
        match = TRIGGER_BODY.search(self.install)
        assert match  # noqa: S101 - pgtrigger's template
        return match[1]


def find_faults(*, compare_definitions: bool = True) -> Iterator[Fault]:
    """All faults by which a write could bypass the log of a migrated database.

    The comparison of pgtrigger's definitions takes most of the time, 0.15 s.
    """
    with log_connection().cursor() as cursor:
        if log := find_log(cursor):
            declared = list(_declared()) if lockstep_settings.SECURE_PGTRIGGERS else []
            definitions = _definitions(cursor, log, declared) if declared and compare_definitions else []
            yield from triggers.find_faults(cursor)
            yield from _faults_of_triggers(cursor, log, declared, definitions)
            yield from _faults_of_functions(cursor, log, declared)
            yield from _faults_of_the_log(cursor, log)
            yield from _trigger_makers(cursor, log, declared)


def secure() -> None:
    """Repairs faults that have a statement for it, and grants the application role its rights."""
    with transaction.atomic(lockstep_settings.DATABASE), log_connection().cursor() as cursor:
        for _ in range(2):  # functions that the first round replaces have lost their settings
            for mend in [fault.mend for fault in find_faults(compare_definitions=False) if fault.mend]:
                cursor.execute(mend)
        if lockstep_settings.APPLICATION_ROLE:
            _grant(cursor, lockstep_settings.APPLICATION_ROLE)


def _declared() -> Iterator[Declared]:
    import pgtrigger

    for model, trigger in pgtrigger.registered():
        sql = trigger.compile(model).sql
        name = f"{model._meta.label}: trigger {trigger.name}"
        parts = {**sql.defaults, **sql.kwargs}
        yield Declared(name, trigger.get_uri(model), sql.pgid, model._meta.db_table, sql.hash, str(sql), parts)


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
            mend = PROTECTION["enable_always"].with_parts(table=_table(log, one.table), name=Statement(one.pgid))
            yield Fault("E007", f"{one.name} can be switched off by session_replication_role.", mend=mend)


def _table(log: Log, name: str) -> Statement:
    """A table of the log's schema."""
    return Statement("{schema}.{table}").with_parts(schema=log.schema, table=identifier(name))


def _differs(definition: str, expected: list[str]) -> bool:
    """Whether the definition is none of the expected ones, if there are any."""
    return bool(expected) and PLACES.sub(" ", definition) not in [PLACES.sub(" ", each) for each in expected]


def _definitions(cursor: CursorWrapper, log: Log, declared: list[Declared]) -> list[Mapping[str, str]]:
    """PostgreSQL's definition of each declared trigger, by name, and of that definition executed again.

    Only PostgreSQL knows how it formats a condition. After a restore it has parsed its own format, which may nest
    differently. Empty where temporary tables are impossible, as on a replica.
    """
    cursor.execute(PROTECTION["can_have_temporary_tables"])
    if cursor.fetchone() != (True,):
        return []
    names = sorted({one.table for one in declared})
    tables = {table: identifier(f"lockstep_expected_{number}") for number, table in enumerate(names)}
    copies = [
        PROTECTION["copy_table"].with_parts(table=_table(log, table), copy=copy) for table, copy in tables.items()
    ]
    copies += [_copied_trigger(one, tables[one.table]) for one in declared]
    with transaction.atomic(cursor.db.alias):
        cursor.execute(joined(copies, "\n"))
        cursor.execute(PROTECTION["definitions"])
        declared_ones = dict(cursor.fetchall())
        drop = PROTECTION["drop_copied_trigger"]
        restored = [drop.with_parts(name=Statement(one.pgid), copy=tables[one.table]) for one in declared]
        cursor.execute(joined([*restored, joined(map(Statement, declared_ones.values()), ";")], "\n"))
        cursor.execute(PROTECTION["definitions"])
        restored_ones = dict(cursor.fetchall())
        transaction.set_rollback(True, cursor.db.alias)
    return [declared_ones, restored_ones]


def _copied_trigger(one: Declared, copy: Statement) -> Statement:
    words = ("constraint", "timing", "referencing", "level", "condition", "when", "operation")
    parts = {word: Statement(one.parts[word]) for word in words}
    return PROTECTION["copy_trigger"].with_parts(name=Statement(one.pgid), copy=copy, **parts)


def _faults_of_functions(cursor: CursorWrapper, log: Log, declared: list[Declared]) -> Iterator[Fault]:
    days = literal(lockstep_settings.RETENTION_DAYS)
    schema = SCHEMA.with_parts(schema=log.schema, retention_days=days)
    installs = {one.pgid: f"Run `manage.py pgtrigger install {one.uri}`, then migrate." for one in declared}
    bodies = {one.pgid: one.body for one in declared}
    for name, statement in OWN_FUNCTIONS.items():
        bodies[name] = BODY.findall(SCHEMA[statement])[0]
    path = f"pg_catalog, {log.schema}, pg_temp"
    cursor.execute(PROTECTION["functions"], {"schema": log.schema, "names": list(bodies)})
    for name, signature, source, language, is_definer, config, owner, is_public in cursor.fetchall():
        if (source, language) != (bodies[name], "plpgsql"):
            own = OWN_FUNCTIONS.get(name)
            hint = installs.get(name, "Run `manage.py migrate`, which mends it.")
            mend = schema[own] if own else NO_MEND
            yield Fault("E008", f"The function {name} was altered.", hint, mend=mend)
        function = Statement(signature)
        if not is_definer or config != [f"search_path={path}"]:
            yield Fault(
                "E009",
                f"The function {name} depends on the rights or the settings of the session that writes.",
                mend=PROTECTION["isolate_function"].with_parts(signature=function, path=Statement(path)),
            )
        if owner != log.owner or is_public:
            yield Fault(
                "E010",
                f"The function {name} can be called by roles other than the owner of the log.",
                mend=TRIGGERS["own_function"].with_parts(signature=function, owner=log.owner),
            )


def _faults_of_the_log(cursor: CursorWrapper, log: Log) -> Iterator[Fault]:
    cursor.execute(PROTECTION["unguarded"])
    for (table,) in cursor.fetchall():
        mend = PROTECTION["guard"].with_parts(table=_table(log, table))
        yield Fault("E011", f"{table}, a table of the change log, does not refuse edits.", mend=mend)
    cursor.execute(PROTECTION["writers"], {"owner": log.owner})
    for role, tables in cursor.fetchall():
        hint = f"Run REVOKE ALL ON {', '.join(tables)} FROM {role}, or from what it is a member of; then GRANT SELECT."
        yield Fault("E012", f"The role {role} may write the change log: {', '.join(tables)}.", hint)
    if lockstep_settings.SECURE_PGTRIGGERS:
        cursor.execute(PROTECTION["ignorable"])
        if cursor.fetchone() == (True,):
            mend = PROTECTION["ignore_nothing"]
            yield Fault("E005", "A session can switch triggers off (pgtrigger.ignore).", mend=mend)
    cursor.execute(PROTECTION["retention_days"])
    days = literal(lockstep_settings.RETENTION_DAYS)
    if cursor.fetchone() not in (None, (Statement("SELECT {days}").with_parts(days=days),)):
        mend = PROTECTION["set_retention_days"].with_parts(schema=log.schema, days=days)
        wanted = counted(lockstep_settings.RETENTION_DAYS, "day")
        yield Fault("E014", f"The database keeps the change log for another time than {wanted}.", mend=mend)
    if reason := role_fault(cursor, lockstep_settings.APPLICATION_ROLE):
        hint = FIT_ROLE
        yield Fault("E013", f"APPLICATION_ROLE={lockstep_settings.APPLICATION_ROLE}: the role {reason}.", hint)


def _trigger_makers(cursor: CursorWrapper, log: Log, declared: list[Declared]) -> Iterator[Fault]:
    captured = {one.table for one in triggers.expected_triggers(cursor, log)}
    tables = sorted(captured | {_table(log, one.table) for one in declared})
    cursor.execute(PROTECTION["trigger_makers"], {"owner": log.owner, "tables": tables})
    for role, table in cursor.fetchall():
        yield Fault(
            "E015", f"The role {role} may put triggers on {table}.", f"Run REVOKE TRIGGER ON {table} FROM {role}."
        )


FIT_ROLE = "Name a role that exists, is no superuser and neither owns the tables nor is a member of their owner."


def role_fault(cursor: CursorWrapper, role: str) -> str | None:
    """Why a role could bypass the log, as the end of a sentence; None where it could not."""
    if not role or not (log := find_log(cursor)):
        return None
    cursor.execute(PROTECTION["role"], {"owner": log.owner, "role": role})
    (reason,) = cursor.fetchone() or ("does not exist",)
    return str(reason) if reason else None


class UnfitRole(Exception):
    """APPLICATION_ROLE is not suitable for web and worker."""


def _grant(cursor: CursorWrapper, role: str) -> None:
    """Grants the rights of web and worker: to read and write rows, and only to read the log."""
    log = find_log(cursor)
    cursor.execute(PROTECTION["can_grant"])
    if not log or cursor.fetchone() != (True,):
        return  # not migrated yet
    if reason := role_fault(cursor, role):
        raise UnfitRole(f"APPLICATION_ROLE={role}: the role {reason}. {FIT_ROLE}")
    cursor.execute(PROTECTION["relations"], {"schema": log.schema, "owner": log.owner})
    relations = cursor.fetchall()
    cursor.execute(PROTECTION["read_only"])
    read_only = [Statement(name) for (name,) in cursor.fetchall()]
    tables = [Statement(name) for name, is_sequence in relations if not is_sequence]
    sequences = [Statement(name) for name, is_sequence in relations if is_sequence]
    grant = PROTECTION["grant"].with_parts(
        role=identifier(role),
        schema=log.schema,
        tables=joined(tables),
        read_only=joined(read_only),
        sequences=joined(sequences),
    )
    cursor.execute(grant)
