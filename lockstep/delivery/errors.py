"""How a delivery fails. A subscriber raises these; the worker alone decides what follows.

    DeliveryError
    ├── TryAgain        it may work later: waits by the retry schedule, or as long as the remote asks for
    │   ├── Unreachable the remote does not answer at all: waits likewise, but is tried as soon as it is back
    │   └── TimedOut    the remote was reached and did not answer in time
    ├── NotYet          something else has to be delivered first: waits a moment
    ├── Interrupted     our own side failed, not the remote: tried again soon
    │   └── Lost        the lease ended before the handler did: whoever has the lane by now does it
    └── Refused         it will never work: a dead letter at once
        └── Vanished    the change log does not have the change any more: there is nothing to deliver

Anything else that a subscriber raises is a mistake in it, and is treated as TryAgain. Only TryAgain uses up attempts:
an attempt is an answer of the remote, or its silence until a deadline (decision 46).
"""

from typing import Any

import psycopg

from lockstep.changes.database_errors import cause_of, is_transient

TOO_MUCH = ("54", "57014")  # limits of PostgreSQL that a statement exceeds, and those of time


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


class TimedOut(TryAgain):
    """The remote did not answer in time."""


class NotYet(DeliveryError):
    """Something else has to be delivered first."""

    failure = "not yet"


class Interrupted(DeliveryError):
    """Our own side failed: what the remote says of it is not known."""

    failure = "interrupted"


class Lost(Interrupted):
    """The lease ended before the handler did."""


class Refused(DeliveryError):
    """The remote will never take it."""

    failure = "refused"


class Vanished(Refused):
    """The change log does not have the change any more."""


def is_outage_of_ours(error: BaseException) -> bool:
    """Whether our database could not do its work right now: gone, full, out of connections, read-only, in a deadlock,
    altered since the session's plans were made.

    A statement that takes too long, or asks for more than there can be, is none: it would again.
    """
    cause = cause_of(error)
    exceeds = isinstance(cause, psycopg.Error) and (cause.sqlstate or "").startswith(TOO_MUCH)
    return is_transient(error) and not exceeds
