"""What happens around every request."""

import logging
import re
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from time import perf_counter
from typing import Any

from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Histogram
from uuid_utils import uuid4

from lockstep.api.errors import CONTENT_TYPE, MAX_QUOTED, cut, problem_response
from lockstep.changes.attribution import tracing

View = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger("lockstep.requests")

REGISTRY = CollectorRegistry()  # of this web process

SECONDS = Histogram(
    "lockstep_http_request_seconds",
    "How long requests took until their answer began, by method and status.",
    ["method", "status"],
    registry=REGISTRY,
)
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# As logging takes it; a line of its own would look for the line of code that wrote it.
LINE = {"name": logger.name, "levelno": logging.INFO, "levelname": "INFO", "msg": "request"}
SAFE_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
MAX_PATH = 2_048  # characters: routes are not tried on more, because one of the admin's takes the square of them
MAX_HEADER = 16_384  # characters of one: several are read by what takes the square of them
LENGTH = re.compile(r"[0-9]{1,18}")
PAGES = ("/admin", "/static/")  # for people with a browser: these keep Django's HTML errors
PROBES = ("/healthz", "/healthz/", "/readyz", "/readyz/", "/metrics", "/metrics/")
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# As Django's own middleware has them, for responses that do not come that far as well.
ALWAYS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
REMARKS = {
    400: "The server could not understand the request.",
    404: "There is nothing at this address.",
    500: "Internal server error. It is logged under this X-Request-ID.",
}


def request_id(get_response: View) -> View:
    """Takes over the caller's X-Request-ID, or makes one; it is in the answer and in the change log."""

    def middleware(request: HttpRequest) -> HttpResponse:
        trace = trace_of(request.META)
        began = perf_counter()
        with tracing(trace):
            response = get_response(request)
            _tell(request, response, perf_counter() - began)
        response["X-Request-ID"] = trace
        return response

    return middleware


def trace_of(meta: Mapping[str, Any]) -> str:
    """The X-Request-ID of a request with these headers, as WSGI has them; a new one where it is missing or unsafe."""
    given = meta.get("HTTP_X_REQUEST_ID")
    return given if given and SAFE_REQUEST_ID.fullmatch(given) else str(uuid4())


def _tell(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """A figure, and one line: what was asked and how it went; not the query, which may hold what is nobody's."""
    method = request.method if request.method in METHODS else "other"
    _seconds(method, response.status_code).observe(seconds)
    if request.path in PROBES:
        return
    if logger.isEnabledFor(logging.INFO):
        facts = {"method": request.method, "path": request.path, "status": response.status_code}
        logger.handle(logging.makeLogRecord({**LINE, **facts, "ms": round(seconds * 1000, 1)}))


@cache
def _seconds(method: str, status: int) -> Histogram:
    return SECONDS.labels(method, status)


def secure_headers(get_response: View) -> View:
    """What browsers are told: nothing of the API is a page, and nothing with somebody's data is kept on the way."""

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
    """Answers /healthz, /readyz and /metrics over plain HTTP, whatever the Host: a probe knows an address only."""
    from lockstep.api import health  # the views are ready later than this module

    views = {"healthz": health.HealthView, "readyz": health.ReadinessView, "metrics": health.MetricsView}
    by_path = {path: views[path.strip("/")].as_view() for path in PROBES}

    def middleware(request: HttpRequest) -> HttpResponse:
        probe = by_path.get(request.path)
        return probe(request) if probe else get_response(request)

    return middleware


def problems(get_response: View) -> View:
    """Django's own HTML errors, the debug pages included, become problem+json for everybody but browsers' pages."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return as_problem(request, _unreadable(request) or get_response(request))

    return middleware


def as_problem(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The response, or the problem that an HTML error outside of the pages becomes."""
    if (
        response.status_code < 400
        or response.get("Content-Type", "").startswith(("application/json", CONTENT_TYPE))
        or request.path.startswith(PAGES)
    ):
        return response
    status = HTTPStatus(response.status_code)
    kept = {name: response[name] for name in ("Allow", "X-Request-ID") if name in response}
    return problem_response(status, REMARKS.get(status, f"{status.description or status.phrase}."), kept)


def _wrong_host(request: HttpRequest) -> HttpResponse | None:
    try:
        request.get_host()
    except DisallowedHost as error:
        logger.warning("%s", str(error)[:MAX_QUOTED])
        host = cut(request.META.get("HTTP_HOST", ""), MAX_QUOTED)
        return problem_response(
            400, f"This server does not answer for the host {host!r}. ALLOWED_HOSTS names its hosts."
        )
    return None


def _unreadable(request: HttpRequest) -> HttpResponse | None:
    """The refusal of a request that Django could not read, and would not say so."""
    if len(request.path_info) > MAX_PATH:
        return problem_response(404, REMARKS[404])
    if any(name.startswith("HTTP_") and len(value) > MAX_HEADER for name, value in request.META.items()):
        return problem_response(431, f"A header is longer than {MAX_HEADER:,} characters.")
    if not LENGTH.fullmatch(request.META.get("CONTENT_LENGTH") or "0"):
        return problem_response(400, "The header Content-Length must be a number of bytes.")
    if request.path not in PROBES and (refusal := _wrong_host(request)):
        return refusal
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        return problem_response(411, "Send the body with a Content-Length, not in chunks.")
    try:
        if request.META.get("QUERY_STRING"):
            request.GET  # noqa: B018 - reading it is the check
    except SuspiciousOperation:
        return problem_response(400, "The address has too many parameters.")
    return None
