"""Traces, if OTEL_EXPORTER_OTLP_ENDPOINT is set: from a request over its changes to their receivers.

    request → SERVER span → `traceparent` in the change log → a span for each attempt to deliver → header → receiver

By default `active` is None and OpenTelemetry is not imported. The extra `tracing` installs it; its own variables
configure the rest (decision 53). This module does not import Django.
"""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

__all__ = ["Unfit", "active", "headers", "ids", "is_wanted", "start"]

if TYPE_CHECKING:
    from lockstep.telemetry.spans import Spans

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")  # the first that is set counts
PROTOCOL = "http/protobuf"
EXPORTER = "opentelemetry.exporter.otlp.proto.http"

active: "Spans | None" = None  # of this process; None without traces


class Unfit(Exception):
    """The configuration of OpenTelemetry is not supported; the message is a sentence."""


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether traces are configured. Raises Unfit for an unsupported configuration."""
    if not (endpoint := next((name for name in ENDPOINTS if environment.get(name, "").strip()), None)):
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter == "none" or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if exporter != "otlp":
        raise Unfit(f"OTEL_TRACES_EXPORTER must be otlp or none: {exporter!r} is neither.")
    for name in PROTOCOLS:
        if protocol := environment.get(name, "").strip():
            if protocol != PROTOCOL:
                raise Unfit(f"{name} must be {PROTOCOL}: {protocol!r} is not installed. The port is usually 4318.")
            break
    if not _is_installed():
        raise Unfit(
            f"{endpoint} is set and OpenTelemetry is not installed: install the extra `tracing` "
            "(`uv sync --extra tracing`), or unset it."
        )
    return True


def _is_installed() -> bool:
    try:
        return find_spec(EXPORTER) is not None
    except ModuleNotFoundError:  # one of the packages around it
        return False


def start(process: str) -> None:
    """Starts traces of this process ("web", "worker", "command"). Call it after a fork. Raises Unfit."""
    global active
    if active is not None:
        return
    from lockstep.telemetry.spans import Spans, otlp_exporter

    try:
        active = Spans(process, otlp_exporter())
    except (ValueError, RuntimeError, OSError) as error:  # of a variable, or of a file that one names
        raise Unfit(f"OpenTelemetry cannot start: {error}.") from error


def flush() -> None:
    """Sends pending spans, for a second at most."""
    if active is not None:
        active.flush()


def traceparent() -> str:
    """The current span as a W3C traceparent; "" for none."""
    return active.traceparent() if active is not None else ""


def headers() -> dict[str, str]:
    """The headers of a request to another system: {"traceparent": …}, or empty."""
    return {"traceparent": own} if (own := traceparent()) else {}


def ids() -> dict[str, str]:
    """{"trace_id", "span_id"} of the current span, for logs; empty for none."""
    return ids_of(traceparent())


def ids_of(traceparent: str) -> dict[str, str]:
    """{"trace_id", "span_id"} of a traceparent; empty for ""."""
    if not traceparent:
        return {}
    _, trace_id, span_id, _ = traceparent.split("-")
    return {"trace_id": trace_id, "span_id": span_id}
