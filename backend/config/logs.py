"""Log lines: JSON outside development, text in it; each with the request it belongs to, none with secrets.

What a client sends (headers, bodies, queries) is never logged. Tokens that get into a message all the same, by way of
an exception for example, are redacted here.
"""

import logging
import re
from datetime import UTC, datetime
from itertools import islice
from time import monotonic

import orjson
from django.core.exceptions import SuspiciousOperation

from lockstep import telemetry
from lockstep.changes.context import current_trace

# No line has them, and each record would look them up.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
BLANK = logging.makeLogRecord({}).__dict__
STANDARD = frozenset((*BLANK, "message", "asctime", "taskName"))
# Each alternative is linear over any text: what it repeats ends the search where it began, or is bounded.
HINT = re.compile(r"ls[kor]_|whsec_|eyJ|earer|://|assword")  # a text without one of these has no secret
SECRETS = re.compile(
    r"\b(?:ls[kor]_[\w-]{8,}|whsec_[\w+/=-]{8,}|eyJ[\w.-]{8,}|(?i:bearer)\s{1,8}[\w.~+/=-]{8,})"
    r"|(?<=://)[^\s/@]++(?=@)"  # user:password@ in an address
    r"|(?<=assword)(?! authentication failed)[\W_]{1,6}[^\s,;}\"'\\]{3,}"
)
REDACTED = "[secret]"
# Only scheme and host of a URL are logged: the path of a webhook's URL is often its password.
PATHS = re.compile(r"(https?://[^\s/?#\"'\\]{1,300})[/?#][^\s\"'\\]++")
MAX_TEXT = 2_000  # characters of a message, or of one value beside it
MAX_TRACEBACK = 16_000  # its first and its last half
REPEAT_SECONDS = 300.0
MAX_KINDS = 1_000  # of messages that a RepeatFilter remembers
# What ends a line, moves a terminal's cursor or reverses its text, and halves of surrogate pairs.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

LOGGERS: dict[str, dict[str, object]] = {
    "django": {"handlers": [], "propagate": True},  # its own handler would write each line a second time
    # What clients do wrong is in the line of their request; what we do wrong is here, with its traceback.
    "django.request": {"level": "ERROR", "filters": ["not_readyz"]},
    # Warns of the password flow at each sign-in, which is on, on purpose (decision 16).
    "oauth2_provider": {"level": "ERROR"},
    # A collector that does not answer is tried every few seconds. Invalid headers of callers are not logged.
    "opentelemetry": {"handlers": ["no_repeats"], "level": "WARNING", "propagate": False},
    "opentelemetry.trace": {"level": "ERROR"},
    "urllib3": {"level": "WARNING"},
    "httpx": {"level": "WARNING"},
    "httpcore": {"level": "WARNING"},
    "psycopg.pool": {"level": "ERROR"},  # the worker says itself, once, that the database does not answer
}


def logging_config(level: str, *, for_people: bool, stream: str = "stderr") -> dict[str, object]:
    """The configuration for logging's dictConfig; `stream` is stdout or stderr."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": Formatter if for_people else JSONFormatter}},
        "filters": {
            # Not being ready yet is what /readyz is there to say.
            "not_readyz": {
                "()": "django.utils.log.CallbackFilter",
                "callback": lambda record: record.getMessage() != "Service Unavailable: /readyz",
            },
            "no_repeats": {"()": RepeatFilter},
        },
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "line", "stream": f"ext://sys.{stream}"},
            "no_repeats": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["no_repeats"],
                "stream": f"ext://sys.{stream}",
            },
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": LOGGERS,
    }


class RepeatFilter(logging.Filter):
    """Lets each kind of message pass once in REPEAT_SECONDS, without a traceback; of MAX_KINDS in that time."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; its kind is its logger and format."""
        kind = (record.name, str(record.msg)[:MAX_TEXT])
        now = monotonic()
        last = self._passed.get(kind)
        if last is not None and now - last < REPEAT_SECONDS:
            return False
        if len(self._passed) >= MAX_KINDS:
            self._passed = {one: at for one, at in list(self._passed.items()) if now - at < REPEAT_SECONDS}
        if len(self._passed) >= MAX_KINDS:
            return False
        self._passed[kind] = now
        if record.exc_info and record.exc_info[1]:
            record.msg, record.args = f"{record.getMessage()} {record.exc_info[1]!r}", None
            record.exc_info = record.exc_text = None
        return True


class Formatter(logging.Formatter):
    """One line for a record, as text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line: time, level, logger, message, extra data, and the request."""
        facts = "".join(f" {name}={value}" for name, value in extras(record).items())
        first = f"{_timestamp(record)} {record.levelname} {record.name} {_loggable(record.getMessage())}{facts}"
        # Lines of a traceback are indented, so that none that stands in an error's message looks like a record.
        more = [line for part in self.traceback(record) for line in part.split("\n")]
        return "\n    ".join(_escaped(line) for line in [first, *more])

    def traceback(self, record: logging.LogRecord) -> list[str]:
        """The traceback of an error, unless a client caused it."""
        if not record.exc_info or isinstance(record.exc_info[1], SuspiciousOperation):  # which is a client's
            return []
        text, half = self.formatException(record.exc_info), MAX_TRACEBACK // 2
        return [_redacted(text if len(text) <= MAX_TRACEBACK else f"{text[:half]}\n[…]\n{text[-half:]}")]


class JSONFormatter(Formatter):
    """One line for a record, as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """{time, level, logger, event, …}; extra data, the request, the traceback."""
        data = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _loggable(record.getMessage()),
            **extras(record),
        }
        if traceback := self.traceback(record):
            data["exception"] = traceback[0]
        try:
            return _escaped(orjson.dumps(data, default=str).decode())
        except TypeError:  # half of a surrogate pair, or a number beyond 64 bits
            return orjson.dumps({name: _escaped(str(value)) for name, value in data.items()}).decode()


def extras(record: logging.LogRecord) -> dict[str, object]:
    """The extra data of a record, its X-Request-ID, and its span, if there is one."""
    # A record has the same attributes first, always in this order: extra data comes after them.
    more = islice(record.__dict__.items(), len(BLANK), None)
    data = {name: _loggable(value) for name, value in more if name not in STANDARD and name != "request"}
    if trace := current_trace.get():
        data["trace"] = _loggable(trace)
    return data | telemetry.ids() if telemetry.active else data


def _loggable(value: object) -> object:
    """A value as it is logged: at most MAX_TEXT characters of a text, without secrets, and numbers as they are."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    text = value if isinstance(value, str) else str(value)
    return _redacted(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}[…]")


def _redacted(text: str) -> str:
    """A text without its secrets. Each is redacted by itself: in a whole line a pattern would reach into the next."""
    return PATHS.sub(r"\1/[…]", SECRETS.sub(REDACTED, text)) if HINT.search(text) else text


def _escaped(line: str) -> str:
    """One line with its control characters as escapes, which are JSON's, too."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
