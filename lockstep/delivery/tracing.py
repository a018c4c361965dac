"""The spans of deliveries: one for each attempt, a child of the span that wrote the change (decision 53)."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lockstep import telemetry
from lockstep.delivery.errors import DeliveryError, DependencyPending
from lockstep.delivery.subscriptions import Claim, Skipped, Subscriber

if TYPE_CHECKING:  # an extra
    from opentelemetry.trace import Span

    from lockstep.telemetry.spans import Spans


@dataclass(slots=True)
class Attempt:
    """The spans of one attempt, and the traceparent of each, "" without traces."""

    traceparents: Sequence[str]
    _spans: "Sequence[Span]" = field(default=(), repr=False)

    def end(self, result: object, error: DeliveryError | None) -> None:
        """Records the outcome. The error's message is left out: it may quote addresses and responses."""
        if telemetry.active is None:
            return
        outcome = "waiting" if isinstance(error, DependencyPending) else "failed" if error else "delivered"
        facts: dict[str, str | int] = {"lockstep.outcome": "skipped" if isinstance(result, Skipped) else outcome}
        if isinstance(result, dict) and isinstance(status := result.get("status"), int):
            facts["http.response.status_code"] = status
        for span in self._spans:
            telemetry.active.describe(span, facts, error=type(error).__name__ if outcome == "failed" else "")


def attempt(subscriber: Subscriber, batch: Sequence[Claim]) -> AbstractContextManager[Attempt]:
    """Opens the spans of an attempt to deliver these claims. The span of a single claim is the current one.

    Requests for several claims belong to none of their spans.
    """
    if (spans := telemetry.active) is None:
        return nullcontext(Attempt([""] * len(batch)))
    return _traced(spans, subscriber, batch)


@contextmanager
def _traced(spans: "Spans", subscriber: Subscriber, batch: Sequence[Claim]) -> Iterator[Attempt]:
    with ExitStack() as stack:
        opened = [
            stack.enter_context(
                spans.span(
                    f"deliver {subscriber.name.partition(':')[0]}",
                    "client" if subscriber.connect else "consumer",
                    _facts(subscriber, claim),
                    parent=claim.change.traceparent or "",
                    is_current=len(batch) == 1,
                )
            )
            for claim in batch
        ]
        yield Attempt([spans.traceparent(span) for span in opened], opened)


def _facts(subscriber: Subscriber, claim: Claim) -> dict[str, str | int]:
    change = claim.change
    return {
        "messaging.system": "lockstep",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "send" if subscriber.connect else "process",
        "messaging.destination.name": subscriber.name,
        "messaging.message.id": str(claim.message_id),
        "lockstep.model": change.model,
        "lockstep.object_id": change.object_id,
        "lockstep.change.kind": change.kind,
        "lockstep.change.seq": change.seq,
        "lockstep.attempt": claim.attempts,
    }
