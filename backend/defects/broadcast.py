"""The broadcast: a counter server receives a message for every created or deleted defect.

The body is {"user": <number>, "action": "create" | "delete"}; the message's id and its signature are in the headers of
the Standard Webhooks specification. Delivery is at least once, in order per defect: a receiver must ignore ids that it
has counted (docs/broadcast.md).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from django.conf import settings

from lockstep.delivery.destinations.addresses import ANYWHERE
from lockstep.delivery.destinations.webhook import Destination, WebhookSender, webhook_sender
from lockstep.delivery.errors import Receipt
from lockstep.delivery.subscriptions import Change, Claim, Handler, Pool, Skipped, Subscriber

NAME = "defects-counter"
ACTIONS = {"created": "create", "deleted": "delete"}
CONCURRENCY = 8
DEADLINE = 10.0


def message_of(change: Change) -> bytes | None:
    """The message for the counter; None for a change that it does not count."""
    action = ACTIONS.get(change.kind)
    captured = change.after or change.before
    return orjson.dumps({"user": captured["user_id"], "action": action}) if action and captured else None


class Broadcast:
    """Sends messages to the counter in the settings."""

    def __init__(self, sender: WebhookSender) -> None:
        self.sender = sender
        self.destination = Destination(settings.COUNTER_URL, (settings.COUNTER_SECRET,))

    async def deliver(self, claim: Claim) -> Receipt | Skipped:
        """Sends one message for one change. Raises delivery errors."""
        body = message_of(claim.change)
        if body is None:
            return Skipped("the counter does not count this")
        return await self.sender.send(self.destination, claim.message_id, body, claim.clock)


@asynccontextmanager
async def _connect(pool: Pool) -> AsyncIterator[Handler]:
    # The operator sets the URL: it may be in a private network.
    async with webhook_sender(concurrency=CONCURRENCY, deadline=DEADLINE, opened=ANYWHERE) as sender:
        yield Broadcast(sender).deliver


COUNTER = Subscriber(
    name=NAME,
    kind="event",
    models=("defects.defect",),
    connect=_connect,
    concurrency=CONCURRENCY,
    deadline=DEADLINE + 5.0,  # after the sender's own deadline, whose error is more specific
    recorded=True,
)
