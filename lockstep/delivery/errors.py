"""How a delivery fails. A subscriber raises these; the worker alone decides what follows.

    DeliveryError
    ├── TryAgain        it may work later: waits by the retry schedule, or as long as the remote asks for
    │   ├── Unreachable the remote does not answer at all: waits likewise, but is tried as soon as it is back
    │   └── Lost        the lease ended before the handler did: whoever has the lane by now does it
    ├── NotYet          something else has to be delivered first: waits a moment
    └── Refused         it will never work: a dead letter at once

Anything else that a subscriber raises is a mistake in it, and is treated as TryAgain.
"""

from typing import Any


class DeliveryError(Exception):
    """The delivery failed. `receipt` is what the handler has to tell of the attempt."""

    failure = "error"

    def __init__(self, cause: str, *, receipt: dict[str, Any] | None = None) -> None:
        super().__init__(cause)
        self.receipt = receipt


class TryAgain(DeliveryError):
    """The remote could not take it now."""

    failure = "failed"

    def __init__(self, cause: str, retry_after: float | None = None, *, receipt: dict[str, Any] | None = None) -> None:
        super().__init__(cause, receipt=receipt)
        self.retry_after = retry_after


class Unreachable(TryAgain):
    """The remote does not answer."""

    failure = "unreachable"


class Lost(TryAgain):
    """The lease ended before the handler did."""


class NotYet(DeliveryError):
    """Something else has to be delivered first."""

    failure = "not yet"


class Refused(DeliveryError):
    """The remote will never take it."""

    failure = "refused"
