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

from lockstep.changes.attribution import current_trace

# Looked up for each record otherwise, and in none of our lines.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
BLANK = logging.makeLogRecord({}).__dict__
USUAL = frozenset((*BLANK, "message", "asctime", "taskName"))
HINT = re.compile(r"ls[kor]_|whsec_|eyJ|earer|://|assword")  # nothing is struck out of a line without one of these
SECRETS = re.compile(
    r"\b(?:ls[kor]_[\w-]{8,}|whsec_[\w+/=-]{8,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+|(?i:bearer)\s+[\w.~+/=-]{8,})"
    r"|(?<=://)[^\s/@]+:[^\s/@]+(?=@)"  # user:password@ in an address
    r"|(?<=assword)[\W_]{1,6}[^\s,;}\"'\\]{3,}"
)
STRUCK_OUT = "[secret]"


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
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            "psycopg.pool": {"level": "ERROR"},  # the worker says itself, once, that the database does not answer
        },
    }


class Formatter(logging.Formatter):
    """One line for a record, as text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its secrets."""
        line = self.line(record)
        return SECRETS.sub(STRUCK_OUT, line) if HINT.search(line) else line

    def line(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message, what was told beside it, and the request."""
        facts = "".join(f" {name}={value}" for name, value in extras(record).items())
        first = f"{_moment(record)} {record.levelname} {record.name} {record.getMessage()}{facts}"
        return "\n".join([first, *self.trouble(record)])

    def trouble(self, record: logging.LogRecord) -> list[str]:
        """The traceback of an error, if there is one."""
        return [self.formatException(record.exc_info)] if record.exc_info else []


class JSONFormatter(Formatter):
    """One line for a record, as JSON."""

    def line(self, record: logging.LogRecord) -> str:
        """{time, level, logger, event, …}; what was told beside the message, the request, the traceback."""
        told = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **extras(record),
        }
        if trouble := self.trouble(record):
            told["exception"] = trouble[0]
        return orjson.dumps(told, default=str).decode()


def extras(record: logging.LogRecord) -> dict[str, object]:
    """What was told beside the message, and the X-Request-ID, or the command, that the line is about."""
    # A record has the same attributes first, always in this order: what was told beside the message comes after them.
    more = islice(record.__dict__.items(), len(BLANK), None)
    told = {name: value for name, value in more if name not in USUAL and name != "request"}
    return told | ({"trace": trace} if (trace := current_trace()) else {})


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
