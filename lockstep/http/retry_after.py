"""The Retry-After header, for HTTP clients."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Ten hours, which is also the longest delay of the retry schedule; a longer Retry-After is limited to it.
MAX_RETRY_AFTER = 36_000.0

_SECONDS = re.compile(r"[0-9]+(\.[0-9]{1,6})?")  # of any length: float() turns too many digits into infinity


def retry_after_seconds(header: str | None, date: str | None = None, *, now: datetime | None = None) -> float | None:
    """Seconds to wait from a Retry-After header in either of its two forms (RFC 9110, 10.2.3).

    0 for a past date, at most MAX_RETRY_AFTER, None without a valid header. `date` is the Date header of the same
    response: the date is by the clock of its sender, and the local clock may be wrong. `now` is for a response without
    one.
    """
    text = (header or "").strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else _seconds_until(text, date, now)
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(text: str, date: str | None, now: datetime | None) -> float | None:
    moment = _moment(text)
    if moment is None:
        return None
    return moment.timestamp() - (_moment(date or "") or now or datetime.now(UTC)).timestamp()


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):  # all of these for invalid dates
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
