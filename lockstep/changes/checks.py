"""System checks: settings, declarations of captures, and what is installed in the database."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import FieldDoesNotExist
from django.db import models, router

from lockstep.changes.applied_migrations import is_of_later_version, migrations_are_pending
from lockstep.changes.capture import Capture, captures, declared, uncaptured_models
from lockstep.changes.columns import column_of
from lockstep.changes.protection import find_faults, role_fault
from lockstep.conf import (
    default_of_setting,
    fault_of_setting,
    has_log_database,
    known_settings,
    lockstep_settings,
    log_connection,
    project_settings,
)

Apps = Sequence[AppConfig] | None
BUILDS_ON = {
    "lockstep.rest": ("lockstep",),
    "lockstep.webhooks": ("lockstep", "lockstep.rest"),
    "lockstep.feed": ("lockstep", "lockstep.rest"),
    "lockstep.mirror": ("lockstep",),
    "lockstep.console": (
        "lockstep",
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "django_htmx",
    ),
}
SECRET = re.compile(r"(^|_)(password|passwd|secret|token|api_?key|private_?key|otp|pin|cvc|cvv)(_|$)", re.IGNORECASE)


@register(Tags.compatibility)
def settings_are_known(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Every key of LOCKSTEP is a setting of the engine."""
    known = known_settings()
    return [
        Error(f"LOCKSTEP has no setting {name!r}.", hint=_did_you_mean(str(name), known), id="lockstep.E020")
        for name in sorted(project_settings().keys() - known, key=str)
    ]


@register(Tags.compatibility)
def settings_have_their_types(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Each value of LOCKSTEP has the type of its setting, and is within its limits."""
    own = project_settings()
    if not isinstance(value := getattr(settings, "LOCKSTEP", own), Mapping):
        hint = 'Write LOCKSTEP = {"RETENTION_DAYS": 30}, or remove it: every key is optional.'
        return [Error(f"LOCKSTEP must be a dict, not {value!r}.", hint=hint, id="lockstep.E027")]
    return [
        Error(
            f"LOCKSTEP[{name!r}] {fault}, not {own[name]!r}.",
            hint=f"Without this setting it is {default_of_setting(name)!r}.",
            id="lockstep.E027",
        )
        for name in sorted(own.keys() & known_settings())
        if (fault := fault_of_setting(name, own[name]))
    ]


@register(Tags.compatibility)
def apps_have_what_they_need(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Each installed app of the engine has those that it builds on, whose tables it needs."""
    return [
        Error(
            f"{app} is in INSTALLED_APPS without {needed}.",
            hint=f'Add "{needed}" to INSTALLED_APPS, and run migrate.',
            id="lockstep.E040",
        )
        for app, several in BUILDS_ON.items()
        for needed in several
        if apps.is_installed(app) and not apps.is_installed(needed)
    ]


def _did_you_mean(name: str, known: set[str]) -> str:
    similar = get_close_matches(name.upper(), known, n=1, cutoff=0.5)
    return f"Did you mean {similar[0]}?" if similar else f"Settings are: {', '.join(sorted(known))}."


@register(Tags.compatibility)
def database_is_postgresql(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Warns where nothing is captured."""
    alias = lockstep_settings.DATABASE
    is_known = not fault_of_setting("DATABASE", alias)  # settings_have_their_types reports another one
    if not declared() or not is_known or has_log_database():
        return []
    hint = (
        "Tests and development work without it. Where changes must be delivered use PostgreSQL, or name the alias "
        'of such a database: LOCKSTEP = {"DATABASE": "…"}.'
    )
    return [Warning(f"Nothing is captured: the database {alias!r} is not PostgreSQL.", hint=hint, id="lockstep.W001")]


@register(Tags.models)
def captures_are_possible(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Each declared capture names a model, once, and columns of its table."""
    found: list[CheckMessage] = []
    for label, several in declared().items():
        if len(several) > 1:
            hint = "Name all columns in one declaration: which of two would count depends on the order of apps."
            found.append(Error(f"{label} is captured {len(several)} times.", hint=hint, id="lockstep.E018"))
        try:
            found.extend(_faults(several[0]))
        except LookupError:
            hint = "Name a model as app.Model."
            found.append(Error(f"capture.register({label!r}): there is no such model.", hint=hint, id="lockstep.E019"))
    found.extend(_shared_tables())
    return found


@register(Tags.models)
def every_model_is_captured(app_configs: Apps, **kwargs: object) -> list[CheckMessage]:
    """Each model of CAPTURED_APPS is captured or has a reason."""
    return [
        Error(f"{model._meta.label} is not captured.", hint=_hint_for(model), obj=model, id="lockstep.E001")
        for model in uncaptured_models()
    ]


@register(Tags.database)
def capture_is_in_force(
    databases: Sequence[str] | None = None,
    compare_definitions: bool = True,
    **kwargs: object,
) -> list[CheckMessage]:
    """Installed capture: triggers, functions, the log's tables and rights (`manage.py check --database default`).

    Skipped in `migrate`, which repairs the faults, while migrations are pending, on a database of a later version, and
    while a setting is wrong, which `migrate` would not mend.
    """
    using = lockstep_settings.DATABASE
    if sys.argv[1:2] == ["migrate"] or settings_have_their_types(None):
        return []
    if using not in (databases or ()) or not has_log_database():
        return []
    if migrations_are_pending(using) or is_of_later_version(using):
        return []
    faults = find_faults(compare_definitions=compare_definitions)
    return [Error(fault.sentence, hint=fault.hint, id=f"lockstep.{fault.id}") for fault in faults]


@register(Tags.database, deploy=True)
def role_does_not_own_the_log(databases: Sequence[str] | None = None, **kwargs: object) -> list[CheckMessage]:
    """Whether web and worker, if they connect with this process's role, could disable capture."""
    if lockstep_settings.DATABASE not in (databases or ()) or not has_log_database():
        return []
    with log_connection().cursor() as cursor:
        cursor.execute("SELECT current_user::text")
        [role] = cursor.fetchone() or [""]
        reason = role_fault(cursor, role)
    if not reason:
        return []
    hint = (
        "Let `migrate` run as the owner of the tables, web and worker as another role, which "
        'LOCKSTEP["APPLICATION_ROLE"] names: `migrate` grants it its rights.'
    )
    return [Warning(f"The role {role} {reason}: it can switch capture off.", hint=hint, id="lockstep.W014")]


def _hint_for(model: type[models.Model]) -> str:
    if model._meta.auto_created:
        return 'Add uncaptured_fields = {"<field>": "<reason>"} to the class with the field.'
    return 'Put @capture("column", …) before the class, or uncaptured = "<reason>" into it.'


def _faults(capture: Capture) -> Iterator[CheckMessage]:
    model = capture.model
    if isinstance(model._meta.pk, models.CompositePrimaryKey):
        hint = "Give it a key of one column."
        yield _error(capture, "its primary key has several columns, and an object has one key.", "E021", hint)
        return
    for name in capture.columns:
        yield from _faults_of_column(capture, name)
    if capture.soft_delete:
        yield from _faults_of_soft_delete(capture, capture.soft_delete)
    if router.db_for_write(model) != lockstep_settings.DATABASE:
        alias, log = router.db_for_write(model), lockstep_settings.DATABASE
        hint = f"The change log is in {log!r} (LOCKSTEP['DATABASE']), and a trigger reaches no other database."
        yield _error(capture, f"a router writes it to {alias!r}, where there is no change log.", "E022", hint)
    if SECRET.search(model._meta.pk.name if model._meta.pk else ""):
        hint = "The key of each object is in the log, in messages and in pages."
        yield _warning(capture, "its primary key looks like a secret.", "W003", hint)


def _faults_of_column(capture: Capture, name: str) -> Iterator[CheckMessage]:
    model = capture.model
    try:
        field = model._meta.get_field(name)
        column_of(model, name)
    except (FieldDoesNotExist, ValueError):
        names = {field.name for field in model._meta.concrete_fields}
        yield _error(capture, f"it has no column for {name!r}.", "E002", _did_you_mean_field(name, names))
        return
    if isinstance(field, models.GeneratedField) and not getattr(field, "db_persist", True):
        hint = "Give it db_persist=True, or capture the columns that it is made of."
        yield _error(capture, f"the column {name!r} is virtual, and a trigger does not see its values.", "E026", hint)
    if field.model._meta.concrete_model is not model._meta.concrete_model:
        parent = field.model._meta.label
        yield _error(capture, f"{name!r} is a column of {parent}.", "E023", "Capture it there: it is another table.")
    if SECRET.search(name):
        hint = "What is in the log is kept, sent and shown. Leave the column out unless that is meant."
        yield _warning(capture, f"the column {name!r} looks like a secret.", "W002", hint)


def _did_you_mean_field(name: str, names: set[str]) -> str:
    similar = get_close_matches(name, names, n=1)
    return f"Did you mean {similar[0]!r}?" if similar else f"Its columns are: {', '.join(sorted(names))}."


def _faults_of_soft_delete(capture: Capture, name: str) -> Iterator[CheckMessage]:
    try:
        field = capture.model._meta.get_field(name)
        is_nullable = bool(field.null) and bool(column_of(capture.model, name))
    except (FieldDoesNotExist, ValueError):
        is_nullable = False
    if not is_nullable:
        hint = "Name the nullable column that is set when a row counts as deleted."
        yield _error(capture, f"soft_delete={name!r} is no nullable column of it.", "E024", hint)


def _shared_tables() -> Iterator[CheckMessage]:
    tables: dict[str, str] = {}
    for capture in captures():
        table = capture.model._meta.db_table
        if other := tables.get(table):
            hint = "Capture one of the two models, with all columns that are wanted."
            yield Error(f"{other} and {capture.label} capture the same table, {table}.", hint=hint, id="lockstep.E025")
        tables[table] = capture.label


def _error(capture: Capture, sentence: str, number: str, hint: str) -> Error:
    return Error(
        f"{capture.label} cannot be captured so: {sentence}", hint=hint, obj=capture.model, id=f"lockstep.{number}"
    )


def _warning(capture: Capture, sentence: str, number: str, hint: str) -> Warning:
    return Warning(f"{capture.label} is captured: {sentence}", hint=hint, obj=capture.model, id=f"lockstep.{number}")
