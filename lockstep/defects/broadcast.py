"""The broadcast: a counter server hears of every defect that is created or deleted.

It gets {"user": <number>, "action": "create" | "delete"} and nothing else in the body; the message's id and its
signature stand in the headers of the Standard Webhooks specification. At least once, in order per defect: a receiver
that keeps the ids it has counted counts right (docs/broadcast.md).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from django.conf import settings

from lockstep.delivery.destinations.addresses import ANYWHERE
from lockstep.delivery.destinations.webhook import Destination, WebhookSender, webhook_sender
from lockstep.delivery.subscriptions import Change, Claim, Handler, Pool, Receipt, Skipped, Subscriber

NAME = "defects-counter"
ACTIONS = {"created": "create", "deleted": "delete"}
CONCURRENCY = 8
DEADLINE = 10.0


def message_of(change: Change) -> bytes | None:
    """What the counter gets; None for a change that it does not count."""
    action = ACTIONS.get(change.kind)
    captured = change.after or change.before
    return orjson.dumps({"user": captured["user_id"], "action": action}) if action and captured else None


class Broadcast:
    """Tells the counter that the settings name."""

    def __init__(self, sender: WebhookSender) -> None:
        self.sender = sender
        self.destination = Destination(settings.COUNTER_URL, (settings.COUNTER_SECRET,))

    async def deliver(self, claim: Claim) -> Receipt | Skipped:
        """One message for one change. Raises delivery errors."""
        body = message_of(claim.change)
        if body is None:
            return Skipped("the counter does not count this")
        return await self.sender.send(self.destination, claim.message_id, body, claim.clock)


@asynccontextmanager
async def _connect(pool: Pool) -> AsyncIterator[Handler]:
    # The address is the operator's, not a stranger's: it may well be in our own network.
    async with webhook_sender(concurrency=CONCURRENCY, deadline=DEADLINE, opened=ANYWHERE) as sender:
        yield Broadcast(sender).deliver


COUNTER = Subscriber(
    name=NAME,
    kind="event",
    models=("defects.defect",),
    connect=_connect,
    concurrency=CONCURRENCY,
    deadline=DEADLINE + 5.0,  # the sender's own comes first, and tells more
    recorded=True,
)
