"""Switching an endpoint off, with its subscription: its owner does so, or whoever gives it up."""

from uuid import UUID

from django.db.models.functions import Now

from lockstep.changes.attribution import attributed_transaction
from lockstep.delivery import operations
from lockstep.webhooks.models import Endpoint


def disable(endpoint: Endpoint, *, reason: str) -> None:
    """It is told of nothing any more. Within a transaction that has locked it."""
    Endpoint.objects.filter(pk=endpoint.pk).update(disabled=Now(), reason=reason)
    operations.disable(endpoint.subscription, reason=reason)


def give_up(key: UUID, *, reason: str) -> None:
    """Disables it unless somebody has. Its change in the feed is the notice to its owner."""
    with attributed_transaction():
        if endpoint := Endpoint.objects.alive().select_for_update().filter(pk=key, disabled=None).first():
            disable(endpoint, reason=reason)
