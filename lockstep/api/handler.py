"""The WSGI application itself: Django's, out of which no error comes.

Django reads a request's Content-Type before any middleware is called. A parameter of it that cannot be decoded was an
error of the web server's, and a `charset` such as `hex` one of whatever read the query. Texts are UTF-8 here: JSON is
by RFC 8259, forms by the URL standard, and neither media type has a `charset`. So it is ignored.
"""

import logging
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters

from lockstep.api.errors import problem_response
from lockstep.api.middleware import REMARKS, as_problem, trace_of
from lockstep.changes.attribution import tracing

MAX_CONTENT_TYPE = 256  # characters, as REST framework has it: of a longer one the rest is not read

logger = logging.getLogger(__name__)


class UTF8Request(WSGIRequest):
    """A request whose texts are UTF-8, whatever its Content-Type says."""

    def _set_content_type_params(self, meta: Any) -> None:  # noqa: ANN401 - the environment of WSGI
        """Sets content_type and content_params; none of these where one cannot be decoded, or where they are too long:
        they are read in the square of their length.
        """
        given = meta.get("CONTENT_TYPE", "")
        try:
            self.content_type, self.content_params = parse_header_parameters(given[:MAX_CONTENT_TYPE])
        except (LookupError, ValueError):  # an extended value (RFC 8187) in a charset that is none
            self.content_type, self.content_params = given[:MAX_CONTENT_TYPE].partition(";")[0].strip().lower(), {}
            meta["CONTENT_TYPE"] = self.content_type  # REST framework reads it again
        self.content_params.pop("charset", None)


class Handler(WSGIHandler):
    """Django's handler. What goes wrong outside of every middleware is problem+json, too, and logged once."""

    request_class = UTF8Request

    def __call__(self, environ: dict[str, Any], start_response: Any) -> HttpResponseBase:  # noqa: ANN401 - WSGI's callable
        try:
            return super().__call__(environ, start_response)
        except Exception:
            trace = trace_of(environ)
            with tracing(trace):
                logger.exception("a request failed outside of every middleware")
            response = problem_response(500, REMARKS[500], {"X-Request-ID": trace})
            start_response("500 Internal Server Error", list(response.items()))
            return response

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """The answer; problem+json also where a middleware failed."""
        response = super().get_response(request)
        return as_problem(request, response) if isinstance(response, HttpResponse) else response
