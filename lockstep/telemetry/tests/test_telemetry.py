"""The switch, and what the spans of a process do whatever their collector does."""

import logging
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from backend.config.logs import RepeatFilter
from lockstep import telemetry
from lockstep.telemetry import PROTOCOLS, Unfit, is_wanted, spans
from lockstep.telemetry.spans import Spans
from tests.traces import Recorded, recording

ROOT = Path(__file__).resolve().parents[3]
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (ENDPOINT | {PROTOCOLS[0]: "http/protobuf", PROTOCOLS[1]: "grpc"}, True),
    ],
)
def test_an_endpoint_switches_traces_on_and_the_usual_variables_switch_them_off(
    environment: dict[str, str], expected: bool
):
    assert is_wanted(environment) is expected


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER must be otlp or none: 'console' is neither."),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf: 'grpc' is not"),
    ],
)
def test_unsupported_settings_are_one_sentence(environment: dict[str, str], sentence: str):
    with pytest.raises(Unfit, match=sentence):
        is_wanted(ENDPOINT | environment)


def test_a_variable_that_opentelemetry_refuses_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(telemetry, "active", None)
    for name, value in (ENDPOINT | {"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unfit, match=r"OpenTelemetry cannot start: max_queue_size must be"):
        telemetry.start("test")
    assert telemetry.active is None


@pytest.mark.slow
def test_nothing_of_opentelemetry_is_imported_where_there_are_no_traces():
    """By none of the processes that there are."""
    program = (
        "import sys, django\n"
        "django.setup()\n"
        "import lockstep.rest.server.application, lockstep.rest.handler, lockstep.delivery.process\n"
        "from django.test import Client\n"
        "Client(headers={'traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'}).get('/healthz')\n"
        "sys.exit(' '.join(name for name in sys.modules if name.startswith('opentelemetry')) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=environment())
    assert (ran.returncode, ran.stderr) == (0, "")


def environment() -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "backend.config.settings"}


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    with recording(monkeypatch) as recorded:
        yield recorded


def test_ids_do_not_depend_on_a_seed(traces: Recorded):
    assert telemetry.active
    for _ in range(2):
        random.seed(1)
        with telemetry.active.span("a", "internal", {}):
            pass
    first, second = traces.spans
    assert first.trace_id != second.trace_id
    assert first.span_id != second.span_id


def test_a_text_that_no_collector_could_read_takes_no_batch_along(traces: Recorded):
    assert telemetry.active
    with telemetry.active.span("a", "internal", {"text": "\ud800" + "x" * 5_000}):
        pass
    [span] = traces.spans
    assert span.facts["text"] == "?" + "x" * 2_047


class Silent(SpanExporter):
    """One whose collector does not answer until it is let go."""

    def __init__(self) -> None:
        self.called, self.answered = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.called.set()
        self.answered.wait()
        return SpanExportResult.FAILURE


def test_a_collector_that_does_not_answer_delays_no_span_and_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda provider: None)
    monkeypatch.setattr(spans, "FLUSH_SECONDS", 0.05)
    exporter = Silent()
    made = Spans("test", exporter)
    for _ in range(5_000):  # more than the queue takes
        with made.span("a", "internal", {}):
            pass
    made.flush()  # returns while the collector is silent
    assert exporter.called.is_set()
    assert not exporter.answered.is_set()
    assert "the last spans are lost" in caplog.text
    exporter.answered.set()
    made._provider.shutdown()


def test_a_dead_collector_is_logged_rarely_in_one_line():
    passes = RepeatFilter()

    def record(name: str, message: str, error: Exception | None = None) -> logging.LogRecord:
        trouble = (type(error), error, None) if error else None
        return logging.LogRecord(name, logging.ERROR, "f", 1, message, ("a",), trouble)

    first = record("opentelemetry.sdk", "failed: %s", ValueError("b"))
    assert passes.filter(first)
    assert (first.getMessage(), first.exc_info) == ("failed: a ValueError('b')", None)
    assert not passes.filter(record("opentelemetry.sdk", "failed: %s", ValueError("c")))
    assert passes.filter(record("opentelemetry.sdk", "another: %s"))
