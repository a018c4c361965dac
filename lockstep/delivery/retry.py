"""How long a failed lane waits."""

import random

from lockstep.delivery.errors import DeliveryError, Interrupted, NotYet, Refused, TryAgain, Unreachable, Vanished
from lockstep.retry_after import LONGEST_RETRY_AFTER

SCHEDULE = (0.0, 5.0, 30.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)  # seconds before the nth attempt
JITTER = 0.2
LONGEST_DELAY = max(*SCHEDULE, LONGEST_RETRY_AFTER) * (1 + JITTER)


def counts(error: DeliveryError, *, early: bool) -> bool:
    """Whether a failure uses up an attempt: an answer does, and silence when the time of the schedule had come.

    `early` is a try that was brought forward, because the remote might answer again, or had answered another one.
    """
    if isinstance(error, NotYet | Interrupted | Vanished):
        return False
    return not (early and isinstance(error, Unreachable))


def delay_after(attempts: int, error: DeliveryError) -> float | None:
    """Seconds until the next attempt after `attempts` that counted; None when there is no next one.

    A remote's Retry-After is honoured up to ten hours. NotYet never gives up: what it waits for either arrives or is
    a dead letter itself; how long it waits depends on its age by the database's clock (sql/lanes.sql, postpone).
    """
    if isinstance(error, Refused):
        return None
    if isinstance(error, NotYet):
        return 0.0
    if isinstance(error, Interrupted):
        return _spread(SCHEDULE[1])
    if attempts >= len(SCHEDULE):
        return None
    asked = error.retry_after if isinstance(error, TryAgain) else None
    return max(_spread(SCHEDULE[max(attempts, 1)]), min(asked or 0.0, LONGEST_RETRY_AFTER))


def _spread(seconds: float) -> float:
    return seconds * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311 - spreads retries, guards nothing
