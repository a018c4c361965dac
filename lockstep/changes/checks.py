"""System checks: a model that should be captured and is not, or whose triggers are not in force, is an error."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pgtrigger
from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections, models
from django.db.migrations.executor import MigrationExecutor

from lockstep.changes.capture import captured_columns, captures_of, column_of, models_to_capture
from lockstep.changes.triggers import can_be_ignored


@register(Tags.models)
def every_model_is_captured(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ANN401
    """Declared capture: each model of CAPTURED_APPS captures, or says why not, and names real columns."""
    found: list[CheckMessage] = []
    for model in models_to_capture():
        if not captured_columns(model):
            hint = 'Add Meta.triggers = capture("column", …), or uncaptured = "<reason>" to the class.'
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
def every_trigger_is_in_force(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ANN401
    """Installed capture: every declared trigger is in the database and enabled (`manage.py check --database default`).

    While migrations are pending the triggers that they bring may be missing: `migrate` runs this check first.
    """
    if not databases or "default" not in databases or _migrations_are_pending():
        return []
    found: list[CheckMessage] = [message for model in models_to_capture() for message in _dead_triggers(model)]
    if can_be_ignored():
        hint = "Run `manage.py migrate`, which mends it."
        # A warning: `migrate` runs this check before it does anything.
        found.append(Warning("A session can switch triggers off (pgtrigger.ignore).", hint=hint, id="changes.W005"))
    return found


def _migrations_are_pending() -> bool:
    executor = MigrationExecutor(connections["default"])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _dead_triggers(model: type[models.Model]) -> Iterator[CheckMessage]:
    for trigger in captures_of(model):
        name = f"{model._meta.label}: trigger {trigger.name}"
        uri = trigger.get_uri(cast("models.Model", model))
        status, enabled = trigger.get_installation_status(cast("models.Model", model), database="default")
        if status != pgtrigger.core.INSTALLED:
            hint = f"Run `manage.py pgtrigger install {uri}`, then migrate. Changes since it went are not in the log."
            yield Error(f"{name} is {status.lower()}.", hint=hint, id="changes.E003")
        elif not enabled:
            hint = f"Run `manage.py pgtrigger enable {uri}`. Changes since then are not in the log."
            yield Error(f"{name} is disabled.", hint=hint, id="changes.E004")
