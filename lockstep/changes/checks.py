"""System checks: a model that should be captured and is not, or whose triggers are not in force, is an error."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, models
from django.db.migrations.executor import MigrationExecutor

from lockstep.changes.capture import captured_columns, column_of, models_to_capture
from lockstep.changes.protection import find_faults, role_fault


@register(Tags.models)
def every_model_is_captured(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ANN401
    """Declared capture: each model of CAPTURED_APPS captures, or says why not, and names real columns."""
    found: list[CheckMessage] = []
    for model in models_to_capture():
        if not captured_columns(model):
            hint = 'Add Meta.triggers = capture("column", …), or uncaptured = "<reason>" to the class.'
            if model._meta.auto_created:
                hint = 'Add uncaptured_fields = {"<field>": "<reason>"} to the class with the field.'
            found.append(Error(f"{model._meta.label} is not captured.", hint=hint, obj=model, id="changes.E001"))
        found.extend(_unknown_columns(model))
    return found


def _unknown_columns(model: type[models.Model]) -> Iterator[CheckMessage]:
    for name in captured_columns(model):
        try:
            column_of(model, name)
        except Exception as error:
            yield Error(f"{model._meta.label} captures {name!r}: {error}", obj=model, id="changes.E002")


@register(Tags.database)
def every_trigger_is_in_force(
    databases: Sequence[str] | None = None,
    compare_definitions: bool = True,
    **kwargs: Any,  # noqa: ANN401
) -> list[CheckMessage]:
    """Installed capture: triggers, functions, the log's tables and rights (`manage.py check --database default`).

    While migrations are pending, what they bring may be missing: `migrate` runs this check first.
    """
    if not databases or "default" not in databases or _migrations_are_pending():
        return []
    faults = find_faults(compare_definitions=compare_definitions)
    return [Error(fault.sentence, hint=fault.hint, id=f"changes.{fault.id}") for fault in faults]


@register(Tags.database, deploy=True)
def role_does_not_own_the_log(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ANN401
    """Whether web and worker, if they connect as this process does, could switch capture off."""
    if not databases or "default" not in databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT current_user::text")
        [role] = cursor.fetchone() or [""]
        reason = role_fault(cursor, role)
    if not reason:
        return []
    hint = "Let `migrate` run as the owner, web and worker as another role: see docs/security.md."
    return [Warning(f"The role {role} {reason}: it can switch capture off.", hint=hint, id="changes.W014")]


def _migrations_are_pending() -> bool:
    executor = MigrationExecutor(connections["default"])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
