"""Switching an endpoint off, with its subscription: its owner does so, or whoever gives it up."""

from datetime import datetime
from uuid import UUID

from django.db.models.functions import Now

from lockstep.changes.attribution import attributed_transaction
from lockstep.delivery import operations
from lockstep.webhooks.models import Endpoint


def disable(endpoint: Endpoint, *, reason: str) -> None:
    """It is told of nothing any more. Within a transaction that has locked it."""
    Endpoint.objects.filter(pk=endpoint.pk).update(disabled=Now(), reason=reason)
    operations.disable(endpoint.subscription, reason=reason)


def give_up(key: UUID, *, url: str, failing_since: datetime, reason: str) -> None:
    """Disables it, when it still is what failed: not switched off, or off and on again, and not moved, meanwhile.

    Its change in the feed is the notice to its owner.
    """
    seen = Endpoint.objects.alive().filter(pk=key, disabled=None, url=url, failing_since=failing_since)
    with attributed_transaction():
        if endpoint := seen.select_for_update().first():
            disable(endpoint, reason=reason)
