"""Log lines: JSON outside development, for people in it; each with the request it belongs to, none with secrets.

What a client sends (headers, bodies, queries) is never logged. Tokens that get into a message all the same, by way of
an exception for example, are struck out here.
"""

import re
from collections.abc import MutableMapping
from typing import Any

import structlog

from lockstep.changes.attribution import current_trace

Event = MutableMapping[str, Any]

SECRETS = re.compile(
    r"(?i)\b(?:ls[kor]_[\w-]{8,}|whsec_[\w+/=-]{8,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+|bearer\s+[\w.~+/=-]{8,})"
    r"|(?<=://)[^\s/@]+:[^\s/@]+(?=@)"  # user:password@ in an address
    r"|(?<=password)\W{1,4}[^\s,;}]{3,}"
)
STRUCK_OUT = "[secret]"


def add_trace(logger: object, method: str, event: Event) -> Event:
    """The X-Request-ID of the request, or the command, that this line is about."""
    if trace := current_trace():
        event["trace"] = trace
    return event


def strike_secrets_out(logger: object, method: str, event: Event) -> Event:
    """The second line of defence; the first is not to log what clients send."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = SECRETS.sub(STRUCK_OUT, value)
    return event


def formatter(*, for_people: bool) -> dict[str, Any]:
    """The formatter of all handlers, as logging's dictConfig takes it."""
    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_trace,
        structlog.processors.format_exc_info,
        strike_secrets_out,
    ]
    last: Any = (
        structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, sort_keys=False)
        if for_people
        else structlog.processors.JSONRenderer()
    )
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": before,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    }
