"""Log lines: JSON with the request they belong to, and no secrets."""

import json
import logging
import logging.config

import pytest
from django.core.exceptions import DisallowedHost

from backend.config import logs
from backend.config.logs import MAX_TEXT, MAX_TRACEBACK, Formatter, JSONFormatter, RepeatFilter
from lockstep import attributed, telemetry
from tests.traces import recording


def line(message: str, *, for_people: bool = False, **extra: object) -> str:
    made = Formatter() if for_people else JSONFormatter()
    record = logging.getLogger("lockstep.test").makeRecord(
        "lockstep.test", logging.INFO, "f", 1, message, (), None, extra=extra
    )
    return made.format(record)


def test_a_line_is_json_with_its_request():
    with attributed(trace="request-1"):
        logged = json.loads(line("it happened", method="GET", ms=1.5))
    assert logged["event"] == "it happened"
    assert (logged["trace"], logged["logger"], logged["level"]) == ("request-1", "lockstep.test", "info")
    assert (logged["method"], logged["ms"]) == ("GET", 1.5)
    assert logged["time"].endswith("Z")


def test_a_line_names_its_span_beside_its_request(monkeypatch: pytest.MonkeyPatch):
    with recording(monkeypatch) as traces, attributed(trace="request-1"):
        assert telemetry.active
        with telemetry.active.span("a", "internal", {}):
            logged = json.loads(line("it happened"))
        outside = json.loads(line("it happened"))
        [span] = traces.spans
    assert (logged["trace"], logged["trace_id"], logged["span_id"]) == ("request-1", span.trace_id, span.span_id)
    assert not {"trace_id", "span_id"} & set(outside)
    assert not {"trace_id", "span_id"} & set(json.loads(line("it happened")))


@pytest.mark.parametrize("for_people", [True, False])
@pytest.mark.parametrize(
    "secret",
    [
        "lsk_0123456789abcdefghij",
        "lso_0123456789abcdefghij",
        "lsr_0123456789abcdefghij",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "Bearer abcdefghijklmnop",
    ],
)
def test_tokens_are_redacted_everywhere(secret: str, for_people: bool):
    logged = line(f"it went wrong with {secret}, sadly", for_people=for_people, header=secret)
    assert secret not in logged
    assert secret.removeprefix("Bearer ") not in logged
    assert "sadly" in logged


@pytest.mark.parametrize(
    "text", ["connecting to postgresql://user:hunter22@127.0.0.1/x", "password='hunter22'", '{"password": "hunter22"}']
)
def test_passwords_are_redacted(text: str):
    assert "hunter22" not in line(text)


def test_an_authentication_error_of_the_database_is_logged_in_full():
    said = 'FATAL:  password authentication failed for user "lockstep"'
    assert json.loads(line(said))["event"] == said


@pytest.mark.parametrize("path", ["/api/v1/users/me/password/", "/me/password", "https://example.com", "/%22bearer "])
def test_text_beside_a_redacted_value_is_kept(path: str):
    values = {"path": path, "status": 400, "actor": "ada@example.com", "view": "account"}
    assert json.loads(line("request", **values)).items() >= values.items()
    assert line("request", for_people=True, path=path, status=400).endswith(f" path={path} status=400")


@pytest.mark.parametrize("formatter", [Formatter(), JSONFormatter()])
def test_client_errors_are_one_line_without_a_traceback(formatter: Formatter):
    try:
        raise DisallowedHost("Invalid HTTP_HOST header")
    except DisallowedHost as error:
        record = logging.makeLogRecord({"msg": str(error), "exc_info": (type(error), error, error.__traceback__)})
    logged = formatter.format(record)
    assert "Invalid HTTP_HOST header" in logged
    assert "Traceback" not in logged


def test_an_exception_is_logged_without_its_secrets():
    try:
        raise ValueError("refused lsk_0123456789abcdefghij")
    except ValueError as error:
        record = logging.LogRecord(
            "lockstep.test", logging.ERROR, "f", 1, "failed", (), (ValueError, error, error.__traceback__)
        )
    logged = JSONFormatter().format(record)
    assert "ValueError" in json.loads(logged)["exception"]
    assert "lsk_0123456789" not in logged


@pytest.mark.parametrize(
    "text",
    [
        "x://" + ":" * 16_000,
        "://" * 10_000,
        "://a" * 10_000,
        "eyJ-" * 10_000,
        "eyJaaaaaaaa-" * 5_000,
        "bearer " * 10_000,
        "bearer" + " " * 60_000,
        "password" * 10_000,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("for_people", [True, False])
def test_texts_are_truncated_before_redaction(text: str, for_people: bool):
    logged = line(text, for_people=for_people, path=text)
    assert len(logged) < 3 * MAX_TEXT


def test_a_traceback_keeps_its_beginning_and_its_end():
    try:
        raise ValueError("x" * 1_000_000 + "the end")
    except ValueError as error:
        record = logging.LogRecord("n", logging.ERROR, "f", 1, "m", (), (ValueError, error, error.__traceback__))
    logged = json.loads(JSONFormatter().format(record))["exception"]
    assert len(logged) < MAX_TRACEBACK + 100
    assert logged.startswith("Traceback")
    assert logged.endswith("the end")


@pytest.mark.parametrize(
    "text", ["\n2026-01-01 INFO forged", "\r", "\x1b[2J", "\x9b2J", "\u2028", "\u202e", "\x00", "\ud800"]
)
@pytest.mark.parametrize("for_people", [True, False])
def test_client_texts_cannot_start_a_log_line(text: str, for_people: bool):
    logged = line(f"a{text}b", for_people=for_people, path=f"/{text}")
    assert logged.isprintable()
    logged.encode()


def test_lines_of_an_error_message_cannot_imitate_a_record():
    try:
        raise ValueError("first\n2026-01-01 INFO forged\x1b[2J")
    except ValueError as error:
        record = logging.LogRecord("n", logging.ERROR, "f", 1, "m", (), (ValueError, error, error.__traceback__))
    first, *more = Formatter().format(record).split("\n")
    assert first.endswith(" m")
    assert all(one.startswith("    ") and one.isprintable() for one in more)


def test_a_number_beyond_64_bits_is_logged():
    assert json.loads(line("it happened", count=10**40))["count"] == str(10**40)


@pytest.mark.parametrize("for_people", [True, False])
def test_the_path_of_a_url_is_not_logged(for_people: bool):
    logged = line("POST 'https://hooks.example:8443/T0/B1/xyzzy?key=plugh' failed", for_people=for_people)
    assert "https://hooks.example:8443/[…]" in logged
    assert not {"xyzzy", "plugh", "T0"} & set(logged.replace("/", " ").split())
    assert "failed" in logged


def test_a_repeat_filter_that_is_full_forgets_old_kinds(monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr(logs, "monotonic", lambda: now)
    monkeypatch.setattr(logs, "MAX_KINDS", 2)
    repeats = RepeatFilter()

    def passes(message: str) -> bool:
        return repeats.filter(logging.makeLogRecord({"name": "n", "msg": message}))

    assert [passes(message) for message in ("a", "a", "b", "c")] == [True, False, True, False]
    now = logs.REPEAT_SECONDS
    assert [passes(message) for message in ("c", "a", "a", "b")] == [True, True, False, False]
