"""Log lines: JSON outside development, text in it; each with the request it belongs to, none with secrets.

What a client sends (headers, bodies, queries) is never logged. Tokens that get into a message all the same, by way of
an exception for example, are struck out here.
"""

import logging
import re
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from django.core.exceptions import SuspiciousOperation

from lockstep.changes.attribution import current_trace

# Looked up for each record otherwise, and in none of our lines.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
BLANK = logging.makeLogRecord({}).__dict__
USUAL = frozenset((*BLANK, "message", "asctime", "taskName"))
# Each alternative is linear over any text: what it repeats ends the search where it began, or is bounded.
HINT = re.compile(r"ls[kor]_|whsec_|eyJ|earer|://|assword")  # nothing is struck out of a text without one of these
SECRETS = re.compile(
    r"\b(?:ls[kor]_[\w-]{8,}|whsec_[\w+/=-]{8,}|eyJ[\w.-]{8,}|(?i:bearer)\s{1,8}[\w.~+/=-]{8,})"
    r"|(?<=://)[^\s/@]++(?=@)"  # user:password@ in an address
    r"|(?<=assword)[\W_]{1,6}[^\s,;}\"'\\]{3,}"
)
STRUCK_OUT = "[secret]"
# Of an address only scheme and host are told: the path of a webhook's URL is often its password.
PATHS = re.compile(r"(https?://[^\s/?#\"'\\]{1,300})[/?#][^\s\"'\\]++")
MAX_TEXT = 2_000  # characters of a message, or of one value beside it
MAX_TRACEBACK = 16_000  # its first and its last half
# What ends a line, moves a terminal's cursor or reverses its text, and halves of surrogate pairs.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def logging_config(level: str, *, for_people: bool) -> dict[str, Any]:
    """What logging's dictConfig takes."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": Formatter if for_people else JSONFormatter}},
        "filters": {
            # Not being ready yet is what /readyz is there to say.
            "not_readyz": {
                "()": "django.utils.log.CallbackFilter",
                "callback": lambda record: record.getMessage() != "Service Unavailable: /readyz",
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},  # its own handler would write each line a second time
            # What clients do wrong is in the line of their request; what we do wrong is here, with its traceback.
            "django.request": {"level": "ERROR", "filters": ["not_readyz"]},
            # Warns of the password flow at each sign-in, which is on, on purpose (decision 16).
            "oauth2_provider": {"level": "ERROR"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            "psycopg.pool": {"level": "ERROR"},  # the worker says itself, once, that the database does not answer
        },
    }


class Formatter(logging.Formatter):
    """One line for a record, as text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line: time, level, logger, message, what was told beside it, and the request."""
        facts = "".join(f" {name}={value}" for name, value in extras(record).items())
        first = f"{_moment(record)} {record.levelname} {record.name} {_cut(record.getMessage())}{facts}"
        # Lines of a traceback are indented, so that none that stands in an error's message looks like a record.
        more = [line for trouble in self.trouble(record) for line in trouble.split("\n")]
        return "\n    ".join(_visible(line) for line in [first, *more])

    def trouble(self, record: logging.LogRecord) -> list[str]:
        """The traceback of an error, if there is one that we made."""
        if not record.exc_info or isinstance(record.exc_info[1], SuspiciousOperation):  # which is a client's
            return []
        text, half = self.formatException(record.exc_info), MAX_TRACEBACK // 2
        return [_strike_out(text if len(text) <= MAX_TRACEBACK else f"{text[:half]}\n[…]\n{text[-half:]}")]


class JSONFormatter(Formatter):
    """One line for a record, as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """{time, level, logger, event, …}; what was told beside the message, the request, the traceback."""
        told = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _cut(record.getMessage()),
            **extras(record),
        }
        if trouble := self.trouble(record):
            told["exception"] = trouble[0]
        try:
            return _visible(orjson.dumps(told, default=str).decode())
        except TypeError:  # half of a surrogate pair, or a number beyond 64 bits
            return orjson.dumps({name: _visible(str(value)) for name, value in told.items()}).decode()


def extras(record: logging.LogRecord) -> dict[str, object]:
    """What was told beside the message, and the X-Request-ID, or the command, that the line is about."""
    # A record has the same attributes first, always in this order: what was told beside the message comes after them.
    more = islice(record.__dict__.items(), len(BLANK), None)
    told = {name: _cut(value) for name, value in more if name not in USUAL and name != "request"}
    return told | ({"trace": _cut(trace)} if (trace := current_trace()) else {})


def _cut(value: object) -> object:
    """A value as it is logged: at most MAX_TEXT characters of a text, without secrets, and numbers as they are."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    text = value if isinstance(value, str) else str(value)
    return _strike_out(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}[…]")


def _strike_out(text: str) -> str:
    """A text without its secrets: each by itself, for in a whole line one would reach into what stands beside it."""
    return PATHS.sub(r"\1/[…]", SECRETS.sub(STRUCK_OUT, text)) if HINT.search(text) else text


def _visible(line: str) -> str:
    """One line with its control characters as escapes, which are JSON's, too."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
