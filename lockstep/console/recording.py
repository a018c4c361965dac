"""Carries out the operations of operators, each once and with its record in the same transaction."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError

from lockstep.changes.attribution import attributed_transaction
from lockstep.conf import lockstep_settings, log_connection
from lockstep.console.models import Operation
from lockstep.sql import statements

SQL = statements(__file__, "workers")

MAX_REMOVED = 10_000  # operations at a time


class OtherOperation(Exception):
    """The form belongs to another operation, which was carried out: preview this one again. Nothing was changed."""


def carry_out(
    action: Callable[[], str],
    *,
    key: UUID,
    actor: str,
    kind: str,
    subscription: str = "",
    parameters: Mapping[str, object] | None = None,
    by_owner: bool = False,
) -> str:
    """Carries out `action` and records its outcome, which is returned. A second call with the same key does nothing.

    Of two at the same time one fails at its record, and what it did is rolled back with it. Raises OtherOperation for
    the key of an operation of another actor, kind or subscription, or with other parameters.
    """
    operations = Operation.objects.using(lockstep_settings.DATABASE)
    kept = json.loads(json.dumps(dict(parameters or {}), cls=DjangoJSONEncoder))

    def outcome_of(done: Operation) -> str:
        if (done.actor, done.kind, done.subscription, done.parameters) != (actor, kind, subscription, kept):
            raise OtherOperation(OtherOperation.__doc__)
        return done.outcome

    if done := operations.filter(pk=key).first():
        return outcome_of(done)
    try:
        with attributed_transaction(actor=actor):
            outcome = action()
            operations.create(
                id=key,
                actor=actor,
                kind=kind,
                subscription=subscription,
                parameters=kept,
                outcome=outcome,
                by_owner=by_owner,
            )
    except IntegrityError:
        if done := operations.filter(pk=key).first():
            return outcome_of(done)
        raise
    return outcome


def remove_old() -> None:
    """Removes operations older than RETENTION_DAYS. Their deletion is in the log, one change for each."""
    kept: dict[str, Any] = {"kept": timedelta(days=lockstep_settings.RETENTION_DAYS), "most": MAX_REMOVED}
    with attributed_transaction(), log_connection().cursor() as cursor:
        cursor.execute(SQL["remove_old_operations"], kept)
