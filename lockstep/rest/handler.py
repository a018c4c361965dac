"""The WSGI application: Django's handler, which turns every error into a response.

Django parses the Content-Type before any middleware is called. A parameter of it that cannot be decoded would be an
error in the web server, and a `charset` such as `hex` one in the code that reads the query. All texts are UTF-8: JSON
by RFC 8259, forms by the URL standard, and neither media type has a `charset`. So it is ignored.
"""

import logging
from wsgiref.types import StartResponse, WSGIEnvironment

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters

from lockstep.changes.context import current_trace
from lockstep.rest.errors import problem_response
from lockstep.rest.middleware import REMARKS, as_problem, trace_of

__all__ = ["Handler"]

MAX_CONTENT_TYPE = 256  # characters, as in REST framework; the rest is ignored

logger = logging.getLogger(__name__)


class UTF8Request(WSGIRequest):
    """A request whose texts are UTF-8 for any Content-Type."""

    def _set_content_type_params(self, meta: WSGIEnvironment) -> None:
        """Sets content_type and content_params. Parameters that cannot be decoded are ignored, and so are those beyond
        MAX_CONTENT_TYPE: parsing them takes the square of their length.
        """
        text = meta.get("CONTENT_TYPE", "")
        try:
            self.content_type, self.content_params = parse_header_parameters(text[:MAX_CONTENT_TYPE])
        except (LookupError, ValueError):  # an extended value (RFC 8187) with an unknown charset
            self.content_type, self.content_params = text[:MAX_CONTENT_TYPE].partition(";")[0].strip().lower(), {}
            meta["CONTENT_TYPE"] = self.content_type  # REST framework reads it again
        self.content_params.pop("charset", None)


class Handler(WSGIHandler):
    """Django's handler. Errors outside of all middleware become problem+json, too, and are logged once."""

    request_class = UTF8Request

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> HttpResponseBase:
        try:
            return super().__call__(environ, start_response)
        except Exception:
            trace = trace_of(environ)
            token = current_trace.set(trace)
            logger.exception("a request failed outside of every middleware")
            current_trace.reset(token)
            response = problem_response(500, REMARKS[500], {"X-Request-ID": trace})
            start_response("500 Internal Server Error", list(response.items()))
            return response

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """The response; problem+json if a middleware failed."""
        response = super().get_response(request)
        return as_problem(request, response) if isinstance(response, HttpResponse) else response
