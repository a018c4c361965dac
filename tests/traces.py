"""Traces in tests: a collector that takes what real processes send, and spans of the test's own process."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lockstep import telemetry
from lockstep.telemetry.spans import Spans

# Of the flags: sampled (1), and that the id is random (2).
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0([0-3])")


@dataclass(frozen=True)
class SentSpan:
    """A span as it left a process; ids in hexadecimal, `parent` "" for none."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    facts: dict[str, Any]
    failed: bool
    links: list[tuple[str, str]]


@dataclass
class Collector:
    """What has come until now."""

    url: str = ""
    spans: list[SentSpan] = field(default_factory=list)

    def span(self, span_id: str) -> SentSpan | None:
        """The span with this id, once it has come."""
        return next((span for span in self.spans if span.span_id == span_id), None)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that speaks OTLP over HTTP on a free port of this machine."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.spans += decoded(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def decoded(request: ExportTraceServiceRequest) -> Iterator[SentSpan]:
    """The spans of one request."""
    for group in request.resource_spans:
        resource = _facts(group.resource.attributes)
        for span in (span for scope in group.scope_spans for span in scope.spans):
            yield SentSpan(
                service=resource["service.name"],
                name=span.name,
                kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                facts=_facts(span.attributes),
                failed=span.status.code == 2,
                links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            )


def _facts(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Recorded:
    """The spans of this process, in the order in which they ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    @property
    def spans(self) -> list[SentSpan]:
        assert telemetry.active
        telemetry.active._provider.force_flush()
        ended = self.exporter.get_finished_spans()
        return [sent for span in ended for sent in decoded(encode_spans([span]))]


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """Traces in this process, until the end of the block."""
    recorded = Recorded()
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda provider: None)  # for good, and once
    spans = Spans("test", recorded.exporter)
    monkeypatch.setattr(telemetry, "active", spans)
    try:
        yield recorded
    finally:
        monkeypatch.setattr(telemetry, "active", None)
        spans._provider.shutdown()


def parts(traceparent: str | None) -> tuple[str, str]:
    """Trace and span of a traceparent that is one."""
    match = TRACEPARENT.fullmatch(traceparent or "")
    assert match, traceparent
    return match[1], match[2]
