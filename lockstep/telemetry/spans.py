"""Spans, with OpenTelemetry. Imported only where traces are enabled."""

import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Literal
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lockstep.version import VERSION

FLUSH_SECONDS = 1.0  # at the end of a process
MAX_TRACEPARENT = 512  # characters: the W3C's first version has 55, and later ones may have more
MAX_VALUE = 2_048  # characters of an attribute

Kind = Literal["server", "client", "consumer", "internal"]
Value = str | int | bool
Attributes = Mapping[str, Value]
KINDS: Mapping[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}

_propagator = TraceContextTextMapPropagator()  # of the W3C: it takes nothing but what its recommendation allows
logger = logging.getLogger(__name__)


def otlp_exporter() -> SpanExporter:
    """The exporter to OTEL_EXPORTER_OTLP_ENDPOINT."""
    return OTLPSpanExporter()


class Ids(RandomIdGenerator):
    """Random ids from the system: a program that seeds Python's generator would repeat ids."""

    def generate_span_id(self) -> int:
        """A span id; never 0, which is invalid."""
        return secrets.randbits(64) or self.generate_span_id()

    def generate_trace_id(self) -> int:
        """A trace id; never 0, which is invalid."""
        return secrets.randbits(128) or self.generate_trace_id()


class Spans:
    """The spans of a process, sent by a thread. A collector that does not answer delays nothing: spans beyond
    OTEL_BSP_MAX_QUEUE_SIZE are dropped.
    """

    def __init__(self, process: str, exporter: SpanExporter) -> None:
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        resource = {"service.version": VERSION, "service.instance.id": str(uuid4()), "lockstep.process": process}
        resource |= {} if named else {"service.name": f"lockstep-{process}"}
        # A shutdown at the interpreter's exit would wait for the collector without limit.
        self._provider = TracerProvider(resource=Resource.create(resource), id_generator=Ids(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(self._provider)  # for spans of a project's own
        self._tracer = self._provider.get_tracer("lockstep", VERSION)

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: str = "",
        joins: bool = True,
        is_current: bool = True,
        ago: float = 0.0,
    ) -> Iterator[Span]:
        """A span until the end of the block, begun `ago` seconds before it.

        `parent` is a traceparent; an invalid one is ignored. The span is its child, or, without `joins`, the first of a
        new trace with a link to it. With `is_current` it is the current span in the block.
        """
        context = self._context(parent)
        linked = trace.get_current_span(context).get_span_context()
        links = [Link(linked)] if linked.is_valid and not joins else []
        span = self._tracer.start_span(
            name,
            context=context if joins else Context(),
            kind=KINDS[kind],
            attributes=_sendable(attributes),
            links=links,
            start_time=time.time_ns() - int(ago * 1e9),
        )
        current = trace.use_span(span, record_exception=False, set_status_on_exception=False)
        try:
            with current if is_current else nullcontext():
                yield span
        finally:
            span.end()

    def describe(self, span: Span, attributes: Attributes, *, name: str = "", error: str = "") -> None:
        """Adds attributes at the end of a span; `error` is the type of a failure."""
        span.set_attributes(_sendable(attributes))
        if name:
            span.update_name(name)
        if error:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)

    def traceparent(self, span: Span | None = None) -> str:
        """The traceparent of a span, or of the current one; "" for none. A client's `tracestate` is not passed on."""
        context = (span or trace.get_current_span()).get_span_context()
        if not context.is_valid:
            return ""
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def flush(self) -> None:
        """Sends pending spans, for FLUSH_SECONDS at most."""
        sending = threading.Thread(target=self._provider.force_flush, name="last-spans", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)
        if sending.is_alive():
            logger.warning("the collector of traces does not answer; the last spans are lost")

    def _context(self, parent: str) -> Context:
        if not 0 < len(parent) <= MAX_TRACEPARENT:
            return Context()
        return _propagator.extract({"traceparent": parent}, Context())


def _sendable(attributes: Attributes) -> dict[str, Value]:
    """Replaces invalid UTF-8 and truncates values: an invalid one would make the export of a whole batch fail."""
    return {
        name: value[:MAX_VALUE].encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in attributes.items()
    }
