"""How long a failed lane waits."""

import random

from lockstep.delivery.errors import DeliveryError, NotYet, Refused, TryAgain

SCHEDULE = (0.0, 5.0, 30.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)  # seconds before the nth attempt
JITTER = 0.2
LONGEST_RETRY_AFTER = 36_000.0
LONGEST_DELAY = max(*SCHEDULE, LONGEST_RETRY_AFTER) * (1 + JITTER)


def delay_after(attempts: int, error: DeliveryError) -> float | None:
    """Seconds until the next attempt after `attempts` failed ones; None when there is no next one.

    A remote's Retry-After is honoured up to ten hours. NotYet never gives up: what it waits for either arrives or is
    a dead letter itself; how long it waits depends on its age by the database's clock (sql/lanes.sql, postpone).
    """
    if isinstance(error, Refused):
        return None
    if isinstance(error, NotYet):
        return 0.0
    if attempts >= len(SCHEDULE):
        return None
    asked = error.retry_after if isinstance(error, TryAgain) else None
    jitter = 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - spreads retries, guards nothing
    return max(SCHEDULE[attempts] * jitter, min(asked or 0.0, LONGEST_RETRY_AFTER))
