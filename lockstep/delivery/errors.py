"""How a delivery fails. Subscribers raise these errors; the worker decides when to retry.

    DeliveryError
    ├── RetryLater         temporary failure: retried by the schedule, or after the remote's Retry-After
    │   ├── Unreachable    the remote does not answer: likewise, but retried as soon as it answers again
    │   └── TimedOut       the remote was reached and did not answer in time
    ├── DependencyPending  another delivery has to come first: retried after a short while
    ├── Interrupted        our own side failed, not the remote: retried soon
    │   └── LeaseLost      the lease ended before the handler did: the worker that has the lane now delivers
    └── Rejected           permanent failure: a dead letter at once
        └── Vanished       the change is no longer in the change log

Of other exceptions a TimeoutError is treated as TimedOut, an outage of our database as Interrupted, and any other as
RetryLater: it is a bug, and is logged. Only an answer of the remote, or its silence when it was due, uses up an attempt
(retry.py, decision 46).
"""

__all__ = ["DependencyPending", "Receipt", "Rejected", "RetryLater", "Unreachable"]

Receipt = dict[str, object]  # a handler's record of an attempt, as JSON


class DeliveryError(Exception):
    """The delivery failed. `receipt` is the handler's record of the attempt."""

    failure = "error"

    def __init__(self, cause: str = "", *, receipt: Receipt | None = None) -> None:
        super().__init__(cause)
        self.receipt = receipt


class RetryLater(DeliveryError):
    """The remote failed temporarily. `after`: the remote's Retry-After in seconds, if any."""

    failure = "failed"

    def __init__(self, cause: str = "", after: float | None = None, *, receipt: Receipt | None = None) -> None:
        super().__init__(cause, receipt=receipt)
        self.after = after


class Unreachable(RetryLater):
    """The remote does not answer."""

    failure = "unreachable"


class TimedOut(RetryLater):
    """The remote did not answer in time."""


class DependencyPending(DeliveryError):
    """Another delivery has to come first."""

    failure = "not yet"


class Interrupted(DeliveryError):
    """Our own side failed: the remote's answer is unknown."""

    failure = "interrupted"


class LeaseLost(Interrupted):
    """The lease ended before the handler did."""


class Rejected(DeliveryError):
    """The remote will never accept it."""

    failure = "refused"


class Vanished(Rejected):
    """The change is no longer in the change log."""
