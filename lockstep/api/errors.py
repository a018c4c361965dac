"""Every error, as the client sees it: problem+json (RFC 9457).

    DomainError                     what an action refuses; the docstring is the message
    ├── NotFound            404     there is no such object for this caller
    └── Conflict            409     the object's state does not allow it

Actions raise these, Django and DRF raise theirs, and only this file turns any of them into an answer.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import HttpResponse
from psycopg.errors import DiskFull
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


class DomainError(Exception):
    """The request cannot be carried out. `retry_after` is seconds, where trying again can help."""

    status = 400
    retry_after: int | None = None

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or type(self).__doc__)


class NotFound(DomainError):
    """There is no such object."""

    status = 404


class Conflict(DomainError):
    """The state of the object does not allow this."""

    status = 409


def problem(status: int, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The body of an error: `errors` has one {"field", "detail"} for each thing to mend."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": list(errors),
    }


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """The same for code outside REST framework."""
    body = orjson.dumps(problem(status, detail))
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's hook. None hands the error on: it becomes a 500, logged with its traceback."""
    if isinstance(error, DomainError):
        set_rollback()
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
        return Response(problem(error.status, str(error)), error.status, headers=headers, content_type=CONTENT_TYPE)
    if isinstance(error, IntegrityError):
        set_rollback()
        detail = "Somebody else wrote the same at the same moment, and theirs came first. Try again."
        return Response(problem(409, detail), 409, content_type=CONTENT_TYPE)
    if isinstance(error, (OperationalError, InterfaceError)):
        logger.error("a request met a database that does not serve it: %s", str(error).partition("\n")[0])
        full = isinstance(error.__cause__, DiskFull)
        what = "has no room left for this" if full else "does not answer"
        detail = f"The database {what} right now. Nothing was changed; try again in a moment."
        return Response(problem(503, detail), 503, headers={"Retry-After": "2"}, content_type=CONTENT_TYPE)
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    errors = list(_flatten(response.data)) if isinstance(error, exceptions.ValidationError) else []
    detail = "The request has mistakes; see errors." if errors else str(response.data["detail"])
    response.data = problem(response.status_code, detail, errors)
    response.content_type = CONTENT_TYPE
    return response


def _flatten(data: object, path: str = "") -> Iterator[dict[str, str]]:
    """REST framework's nested error lists as flat {"field": "lines.0.quantity", "detail": …}."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            nested = isinstance(value, (dict, list))
            yield from _flatten(value, f"{path}.{index}".lstrip(".") if nested else path)
    else:
        yield {"field": path or "non_field_errors", "detail": str(data)}
