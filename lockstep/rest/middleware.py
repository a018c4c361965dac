"""Middleware: request id, log and metrics, security headers, probes, and errors as problem+json."""

import logging
import re
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from time import perf_counter
from typing import Any

from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Gauge, Histogram
from uuid_utils import uuid4

from lockstep import telemetry
from lockstep.changes.context import current_trace
from lockstep.rest.errors import CONTENT_TYPE, MAX_QUOTED, cut, problem_response
from lockstep.rest.pages import error_response
from lockstep.rest.tracing import respond_in_a_span

__all__ = ["REGISTRY"]

View = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger("lockstep.requests")

REGISTRY = CollectorRegistry()  # of this web process

SECONDS = Histogram(
    "lockstep_http_request_seconds",
    "How long requests took until their answer began, by method and status; without probes.",
    ["method", "status"],
    registry=REGISTRY,
)
STARTED = Gauge(
    "lockstep_web_started_seconds",
    "When the youngest process of this web server began (seconds since 1970): it changes with each start.",
    registry=REGISTRY,
    multiprocess_mode="max",
)
STARTED.set_to_current_time()
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
for _method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    for _status in (500, 503):
        SECONDS.labels(_method, _status)  # a series that appears with its first event hides that event from rate()
# The attributes of a log record; a logger would look up the calling line of code each time.
LINE = {"name": logger.name, "levelno": logging.INFO, "levelname": "INFO", "msg": "request"}
SAFE_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
MAX_PATH = 2_048  # characters: matching a route of the admin takes the square of the length
MAX_HEADER = 16_384  # characters of one header: parsing some takes the square of the length
LENGTH = re.compile(r"[0-9]{1,18}")
PAGES = ("/admin", "/static/")  # these keep Django's HTML errors, whatever the client prefers
PROBES = ("/healthz", "/healthz/", "/readyz", "/readyz/", "/metrics", "/metrics/")
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# Those of Django's own middleware, for responses that do not pass through it as well.
ALWAYS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
REMARKS = {
    400: "The server could not understand the request.",
    404: "There is nothing at this address.",
    500: "Internal server error. It is logged under this X-Request-ID.",
}


def request_id(get_response: View) -> View:
    """Accepts the caller's X-Request-ID, or generates one, for the response and the change log."""

    def respond(request: HttpRequest) -> HttpResponse:
        """The response. Updates the metrics and logs one line, without the query string: it may hold personal data."""
        began = perf_counter()
        response = get_response(request)
        seconds = perf_counter() - began
        if request.path not in PROBES:
            method = request.method if request.method in METHODS else "other"
            _seconds(method, response.status_code).observe(seconds)
            if logger.isEnabledFor(logging.INFO):
                facts = {"method": request.method, "path": request.path, "status": response.status_code}
                logger.handle(logging.makeLogRecord({**LINE, **facts, "ms": round(seconds * 1000, 1)}))
        return response

    def middleware(request: HttpRequest) -> HttpResponse:
        trace = trace_of(request.META)
        token = current_trace.set(trace)
        try:
            if telemetry.active is None or request.path in PROBES:
                response = respond(request)
            else:
                response = respond_in_a_span(telemetry.active, request, trace, respond)
        finally:
            current_trace.reset(token)
        response["X-Request-ID"] = trace
        return response

    return middleware


def trace_of(meta: Mapping[str, Any]) -> str:
    """The X-Request-ID in the META of a request; a new one if it is missing or unsafe."""
    value = meta.get("HTTP_X_REQUEST_ID")
    return value if value and SAFE_REQUEST_ID.fullmatch(value) else str(uuid4())


@cache
def _seconds(method: str, status: int) -> Histogram:
    return SECONDS.labels(method, status)


def secure_headers(get_response: View) -> View:
    """Sets security headers: API responses are not pages, and private data is not cached by proxies."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else API_POLICY)
        for name, value in ALWAYS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    return middleware


def probes(get_response: View) -> View:
    """Serves /healthz, /readyz and /metrics over plain HTTP for any Host, because probes use IP addresses."""
    from lockstep.rest.probes import HealthView, MetricsView, ReadinessView  # needs the app registry

    views = {"healthz": HealthView, "readyz": ReadinessView, "metrics": MetricsView}
    by_path = {path: views[path.strip("/")].as_view() for path in PROBES}

    def middleware(request: HttpRequest) -> HttpResponse:
        probe = by_path.get(request.path)
        return probe(request) if probe else get_response(request)

    return middleware


def problems(get_response: View) -> View:
    """Turns Django's HTML errors, the debug pages included, into ours: problem+json, or a page for a browser."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return as_problem(request, _malformed(request) or get_response(request))

    return middleware


def as_problem(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The response; an HTML error of Django's as problem+json, or as a page of ours for a client that prefers HTML."""
    if (
        response.status_code < 400
        or getattr(response, "is_page", False)
        or response.get("Content-Type", "").startswith(("application/json", CONTENT_TYPE))
        or request.path.startswith(PAGES)
    ):
        return response
    status = HTTPStatus(response.status_code)
    kept = {name: response[name] for name in ("Allow", "X-Request-ID") if name in response}
    return error_response(request, status, REMARKS.get(status, f"{status.description or status.phrase}."), kept)


def _malformed(request: HttpRequest) -> HttpResponse | None:
    """The error response to a request that Django cannot parse, and would not report."""
    if len(request.path_info) > MAX_PATH:
        return problem_response(404, REMARKS[404])
    if any(name.startswith("HTTP_") and len(value) > MAX_HEADER for name, value in request.META.items()):
        return problem_response(431, f"A header is longer than {MAX_HEADER:,} characters.")
    if not LENGTH.fullmatch(request.META.get("CONTENT_LENGTH") or "0"):
        return problem_response(400, "The header Content-Length must be a number of bytes.")
    try:
        if request.path not in PROBES:
            request.get_host()
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
            return problem_response(411, "Send the body with a Content-Length, not in chunks.")
        if request.META.get("QUERY_STRING"):
            request.GET  # noqa: B018 - reading it is the check
    except SuspiciousOperation as error:
        return _suspicious(request, error)
    return None


def _suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    if not isinstance(error, DisallowedHost):
        return problem_response(400, "The URL has too many parameters.")
    logger.warning("%s", str(error)[:MAX_QUOTED])
    host = cut(request.META.get("HTTP_HOST", ""), MAX_QUOTED)
    return problem_response(400, f"This server does not serve the host {host!r}. ALLOWED_HOSTS lists its hosts.")
