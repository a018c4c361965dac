"""Requests that are answered without a thread: they are not there whole, or there are too many."""

from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse

from lockstep.api.errors import problem_response
from lockstep.api.middleware import request_id, secure_headers

CLOSE = {"Connection": "close"}


class ClientGone(Exception):
    """The client left before its request was complete. There is no one to answer."""


class Refusal(Exception):
    """A request that is not carried out: the status and the detail of its problem document."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] = CLOSE) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def response_to(environ: dict[str, Any], refusal: Refusal) -> HttpResponse:
    """The problem document, with a request id, a log line and a count like any other response."""
    readable = {name: value for name, value in environ.items() if name != "CONTENT_TYPE"}  # may name no charset at all

    def refuse(_: HttpRequest) -> HttpResponse:
        return problem_response(refusal.status, refusal.detail, refusal.headers)

    return request_id(secure_headers(refuse))(WSGIRequest(readable))
