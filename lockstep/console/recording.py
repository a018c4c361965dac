"""Carries out the operations of operators, each once and with its record in the same transaction."""

import json
from collections.abc import Callable, Mapping
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError

from lockstep.changes.attribution import attributed_transaction
from lockstep.conf import lockstep_settings
from lockstep.console.models import Operation


def carry_out(
    action: Callable[[], str],
    *,
    key: UUID,
    actor: str,
    kind: str,
    subscription: str = "",
    parameters: Mapping[str, object] | None = None,
) -> str:
    """Carries out `action` and records its outcome, which is returned. A second call with the same key does nothing.

    Of two at the same time one fails at its record, and what it did is rolled back with it.
    """
    operations = Operation.objects.using(lockstep_settings.DATABASE)
    if done := operations.filter(pk=key).first():
        return done.outcome
    kept = json.loads(json.dumps(dict(parameters or {}), cls=DjangoJSONEncoder))
    try:
        with attributed_transaction(actor=actor):
            outcome = action()
            operations.create(
                id=key, actor=actor, kind=kind, subscription=subscription, parameters=kept, outcome=outcome
            )
    except IntegrityError:
        if done := operations.filter(pk=key).first():
            return done.outcome
        raise
    return outcome
