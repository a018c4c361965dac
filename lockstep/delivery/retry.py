"""The delay of a failed lane's next attempt."""

import random
from collections.abc import Sequence

from lockstep.delivery.errors import (
    DeliveryError,
    DependencyPending,
    Interrupted,
    Rejected,
    RetryLater,
    Unreachable,
    Vanished,
)
from lockstep.http.retry_after import MAX_RETRY_AFTER

SCHEDULE = (0.0, 5.0, 30.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)  # seconds before the nth attempt, by default
MAX_WAIT = MAX_RETRY_AFTER  # seconds between two attempts
JITTER = 0.2
MAX_DELAY = MAX_WAIT * (1 + JITTER)


def counts(error: DeliveryError, *, early: bool) -> bool:
    """Whether a failure uses up an attempt: an answer does, and a missing one unless the attempt was early.

    `early` is an attempt that was brought forward to probe an unreachable remote, or because it answered another one.
    """
    if isinstance(error, DependencyPending | Interrupted | Vanished):
        return False
    return not (early and isinstance(error, Unreachable))


def delay_after(attempts: int, error: DeliveryError, schedule: Sequence[float] = SCHEDULE) -> float | None:
    """Seconds until the next attempt by the schedule, after `attempts` that counted; None for none.

    A remote's Retry-After is honoured up to ten hours. DependencyPending is retried without limit: the other delivery
    either succeeds or becomes a dead letter; its delay depends on the change's age (sql/lanes.sql, postpone).
    """
    if isinstance(error, Rejected):
        return None
    if isinstance(error, DependencyPending):
        return 0.0
    if isinstance(error, Interrupted):
        return _spread(SCHEDULE[1])
    if attempts >= len(schedule):
        return None
    retry_after = error.after if isinstance(error, RetryLater) else None
    return max(_spread(schedule[max(attempts, 1)]), min(retry_after or 0.0, MAX_RETRY_AFTER))


def _spread(seconds: float) -> float:
    return seconds * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311 - not for security
