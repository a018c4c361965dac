"""The span of a request, by the stable semantic conventions of OpenTelemetry for HTTP (decision 53)."""

from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch

from lockstep.conf import lockstep_settings
from lockstep.rest.server.environ import EXCHANGE

if TYPE_CHECKING:
    from lockstep.telemetry.spans import Spans

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
OTHER = "_OTHER"


def respond_in_a_span(
    spans: "Spans", request: HttpRequest, request_id: str, respond: Callable[[HttpRequest], HttpResponse]
) -> HttpResponse:
    """The response, in a span from the receipt of the whole request to the beginning of the response; for a stream,
    that is before its first event. Queries, bodies and headers are not recorded.
    """
    method = request.method if request.method in METHODS else OTHER
    facts: dict[str, str | int] = {
        "http.request.method": method,
        "url.path": request.path,
        "url.scheme": request.scheme or "http",
        "lockstep.request_id": request_id,
    }
    exchange = request.META.get(EXCHANGE)
    with spans.span(
        _name(method),
        "server",
        facts,
        parent=request.META.get("HTTP_TRACEPARENT", ""),
        joins=lockstep_settings.REST_TRACEPARENT_TRUSTED,
        ago=monotonic() - exchange.received if exchange else 0.0,
    ) as span:
        response = respond(request)
        facts = {"http.response.status_code": response.status_code}
        if route := _route(request.resolver_match):
            facts["http.route"] = route
        error = str(response.status_code) if response.status_code >= 500 else ""
        spans.describe(span, facts, name=_name(method, route), error=error)
    return response


def _name(method: str, route: str = "") -> str:
    return f"{'HTTP' if method == OTHER else method} {route}".strip()


def _route(match: ResolverMatch | None) -> str:
    """The route; "" without a match and for the catch-all."""
    return _readable(match.route) if match and match.route else ""


@lru_cache(1_000)
def _readable(route: str) -> str:
    """A route without the syntax of regular expressions: /api/v1/products/<key>/."""
    from django.contrib.admindocs.views import simplify_regex  # it imports the admin's views

    text: str = simplify_regex(route)
    return text
