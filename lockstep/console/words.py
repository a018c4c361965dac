"""Numbers and times in words, for pages and sentences."""

import re
from datetime import datetime

from django.utils import timezone

__all__ = ["clock"]

MAX_PLAIN = 300  # characters
# Characters that hide or reorder others: controls, and marks of direction. Lines and tabs may be.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store it: neither NUL nor half a character."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def plain(text: str, longest: int = MAX_PLAIN) -> str:
    """A stored text as a part of a sentence: its beginning, and hidden characters by their numbers."""
    cut = text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
    return _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", cut)


def duration(seconds: float) -> str:
    """A duration: "45 s", "14 min", "5 h 12 min", "3 days"."""
    if seconds < 1:
        return "less than a second"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR:
        return f"{seconds // MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"
    return f"{seconds // DAY:.0f} days"


def number(value: float) -> str:
    """A number with separators: whole from 100 on, and with one digit behind the point below."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


def size(count: float) -> str:
    """A size: "1.2 GB"."""
    if count < 1000:
        return f"{count:,.0f} bytes"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:,.1f} {unit}"
    return f"{count / 1000:,.1f} GB"


def clock(moment: datetime, now: datetime) -> str:
    """The time of day with its zone; with its date where that is not today's."""
    local, today = timezone.localtime(moment), timezone.localtime(now)
    day = "" if local.date() == today.date() else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M} {local.tzname()}"
