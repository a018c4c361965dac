"""Every error, as the client sees it: problem+json (RFC 9457).

    DomainError                     what an action refuses; the docstring is the message
    ├── Invalid             400     what was given has mistakes, by field
    ├── InsufficientScope   403     the token may not do this
    ├── NotFound            404     there is no such object for this caller
    ├── Conflict            409     the object's state does not allow it
    ├── OutOfDate           412     the object is not the one that the caller saw
    ├── TooManyRequests     429     later, perhaps
    └── Unavailable         503     later

Actions raise these, Django and REST framework raise theirs, and only exception_handler.py turns any of them into an
answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.http import HttpResponse

from lockstep.api import problems
from lockstep.api.problems import Problem, problem_of

CONTENT_TYPE = "application/problem+json"
Errors = Sequence[Mapping[str, str]]


class DomainError(Exception):
    """The request cannot be carried out. `retry_after` is seconds, where trying again can help."""

    problem: Problem = problems.BAD_REQUEST
    retry_after: int | None = None
    errors: Errors = ()
    more: Mapping[str, Any] = {}  # members that only this kind of problem has
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(detail or type(self).__doc__)
        self.retry_after = retry_after or self.retry_after


class Invalid(DomainError):
    """The request has mistakes; see errors."""

    problem = problems.INVALID

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__()
        self.errors = [{"field": field, "detail": detail} for field, detail in fields.items()]

    def renamed(self, **names: str) -> "Invalid":
        """The same about fields that this route calls by other names."""
        return Invalid({names.get(error["field"], error["field"]): error["detail"] for error in self.errors})


class InsufficientScope(DomainError):
    """The token may not do this."""

    problem = problems.INSUFFICIENT_SCOPE

    def __init__(self, needed: str, granted: str) -> None:
        super().__init__(f"This token may not {needed}: it was given for {granted or 'nothing'!r}.")
        # RFC 6750, 3.1
        self.headers = {"WWW-Authenticate": f'Bearer realm="lockstep", error="insufficient_scope", scope="{needed}"'}


class NotFound(DomainError):
    """There is no such object."""

    problem = problems.NOT_FOUND


class Conflict(DomainError):
    """The state of the object does not allow this."""

    problem = problems.CONFLICT


class OutOfDate(DomainError):
    """It was changed since you read it."""

    problem = problems.OUT_OF_DATE


class TooManyRequests(DomainError):
    """Too many requests; wait a little."""

    problem = problems.TOO_MANY_REQUESTS


class Unavailable(DomainError):
    """It does not work right now. Nothing was changed."""

    problem = problems.UNAVAILABLE


def document(problem: Problem, detail: str, errors: Errors = (), **more: Any) -> dict[str, Any]:  # noqa: ANN401 - members of JSON
    """The body of an error: `errors` has one {"field", "detail"} for each thing to mend."""
    return {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "errors": list(errors),
        **more,
    }


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """The same for code outside REST framework."""
    body = orjson.dumps(document(problem_of(status), detail))
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)
