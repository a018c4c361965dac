"""Switching an endpoint off, with its subscription: its owner does so, or whoever gives it up."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.db.models.functions import Now

from lockstep.changes.attribution import attributed_transaction
from lockstep.delivery import operations
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.operations import UnknownSubscription
from lockstep.webhooks.models import Endpoint


def disable(endpoint: Endpoint, *, reason: str) -> None:
    """It is told of nothing any more. Within a transaction that has locked it."""
    Endpoint.objects.filter(pk=endpoint.pk).update(disabled=Now(), reason=reason)
    with suppress(UnknownSubscription):  # somebody removed it: then there is nothing to stop
        operations.disable(endpoint.subscription, reason=reason)


def give_up(key: UUID, last: Outcome, *, url: str, failing_since: datetime | None, reason: str) -> None:
    """Disables it, when it still is what failed: not switched off, or off and on again, and not moved, meanwhile.

    Its change in the feed is the notice to its owner. What waits for it is forgotten, and with it the lane of the
    message that was refused last: that one becomes a dead letter here, because its settlement finds nothing any more.
    So does each that was under way beside it.
    """
    with attributed_transaction():
        endpoint = Endpoint.objects.alive().select_for_update().filter(pk=key).first()
        if endpoint is None:
            return
        if endpoint.disabled is None:
            if (endpoint.url, endpoint.failing_since) != (url, failing_since):
                return
            disable(endpoint, reason=reason)
        operations.put_aside(endpoint.subscription, last.claim, cause=last.cause)
