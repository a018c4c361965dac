"""Error responses without a thread: for incomplete requests, and for too many requests."""

from collections.abc import Mapping

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse

from lockstep.rest.errors import problem_response
from lockstep.rest.middleware import request_id, secure_headers
from lockstep.rest.server.environ import Environ

CLOSE = {"Connection": "close"}


class ClientGone(Exception):
    """The client disconnected before its request was complete."""


class Refusal(Exception):
    """A refused request: the status and the detail of its problem document."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] = CLOSE) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def response_to(environ: Environ, refusal: Refusal) -> HttpResponse:
    """The problem document, with a request id, a log line and a count like any other response."""
    readable = {name: value for name, value in environ.items() if name != "CONTENT_TYPE"}  # may name an unknown charset

    def refuse(_: HttpRequest) -> HttpResponse:
        return problem_response(refusal.status, refusal.detail, refusal.headers)

    return request_id(secure_headers(refuse))(WSGIRequest(readable))
