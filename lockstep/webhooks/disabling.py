"""Disabling an endpoint with its subscription, by its owner or after repeated failures."""

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
    """Disables an endpoint, within a transaction that has locked it."""
    Endpoint.objects.filter(pk=endpoint.pk).update(disabled=Now(), reason=reason)
    with suppress(UnknownSubscription):  # it is already removed
        operations.disable(endpoint.subscription, reason=reason)


def give_up(key: UUID, last: Outcome, *, url: str, failing_since: datetime | None, reason: str) -> None:
    """Disables an endpoint after failures, unless it was switched off, switched on or moved meanwhile.

    Its change in the feed is the notice to its owner. Its pending messages are deleted, and with them the lane of the
    last failed message: that one becomes a dead letter here, because its settlement will find no lane. So do all other
    messages in flight.
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
