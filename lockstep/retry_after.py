"""The Retry-After header, as those who ask others over HTTP read it."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Who asks for more than this is asked again all the same: nobody remembers for a day.
LONGEST_RETRY_AFTER = 3600.0

_SECONDS = re.compile(r"\d{1,12}(\.\d{1,6})?")


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait from a Retry-After header in either of its two forms (RFC 9110, 10.2.3).

    0 for a date gone by, at most LONGEST_RETRY_AFTER, None for nothing or nonsense.
    """
    text = (header or "").strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else _seconds_until(text, now or datetime.now(UTC))
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError, IndexError, TypeError):  # it raises them all for nonsense
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
