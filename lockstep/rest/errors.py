"""Every error, as the client sees it: problem+json (RFC 9457).

    DomainError                     raised by actions; the docstring is the default message
    ├── Invalid             400     invalid values, by field
    ├── InsufficientScope   403     the token lacks a scope
    ├── NotFound            404     the object does not exist, or is not visible to the caller
    ├── Conflict            409     the object's state does not allow it
    ├── PreconditionFailed  412     the object was changed since the caller read it
    ├── TooManyRequests     429     retry after `retry_after` seconds
    └── Unavailable         503     retry later

Actions raise these, Django and REST framework raise theirs, and only exception_handler.py turns any of them into a
response.
"""

from collections.abc import Mapping, Sequence

import orjson
from django.http import HttpResponse

from lockstep.rest import problems
from lockstep.rest.problems import Problem, problem_of

__all__ = [
    "CONTENT_TYPE",
    "Conflict",
    "DomainError",
    "InsufficientScope",
    "Invalid",
    "NotFound",
    "TooManyRequests",
    "Unavailable",
    "document",
]

CONTENT_TYPE = "application/problem+json"
Errors = Sequence[Mapping[str, str]]

# Limits of every error response: with every character as an escape of six bytes it is still below 64 KB.
MAX_ERRORS = 20
MAX_ERRORS_TEXT = 8_000  # characters of all of them together
MAX_DETAIL = 2_000
MAX_QUOTED = 100  # of a name or a value of the client's, quoted in an error


class DomainError(Exception):
    """The request cannot be carried out. `retry_after` is in seconds, if a retry can succeed."""

    problem: Problem = problems.BAD_REQUEST
    retry_after: int | None = None
    errors: Errors = ()
    extensions: Mapping[str, object] = {}  # extension members (RFC 9457, 3.2)
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
        """The same errors under the field names of another route."""
        renamed = {}
        for error in self.errors:
            name, dot, rest = error["field"].partition(".")
            renamed[f"{names.get(name, name)}{dot}{rest}"] = error["detail"]
        return Invalid(renamed)


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


class PreconditionFailed(DomainError):
    """The object was changed since you read it."""

    problem = problems.OUT_OF_DATE


class TooManyRequests(DomainError):
    """Too many requests."""

    problem = problems.TOO_MANY_REQUESTS

    def __init__(self, detail: str | None = None, *, retry_after: int) -> None:
        wait = f"{retry_after:,} second{'' if retry_after == 1 else 's'}"
        super().__init__(f"{detail or type(self).__doc__} Try again in {wait}.", retry_after=retry_after)


class Unavailable(DomainError):
    """Temporarily unavailable. Nothing was changed."""

    problem = problems.UNAVAILABLE


def document(problem: Problem, detail: str, errors: Errors = (), **extensions: object) -> dict[str, object]:
    """The body of an error response: `errors` has one {"field", "detail"} for each error, at most MAX_ERRORS."""
    return {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": cut(detail, MAX_DETAIL),
        "errors": _bounded(errors),
        **extensions,
    }


def cut(text: str, length: int) -> str:
    """The text, or its beginning where it is longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _bounded(errors: Errors) -> list[dict[str, str]]:
    """The errors within the limits of a response, with names and values truncated."""
    kept, left = [], MAX_ERRORS_TEXT
    for error in errors[:MAX_ERRORS]:
        field = cut(error["field"], MAX_QUOTED)
        kept.append({"field": field, "detail": cut(error["detail"], min(MAX_DETAIL, left - len(field)))})
        left -= len(field) + len(kept[-1]["detail"])
        if left < 2 * MAX_QUOTED:
            break
    return kept


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A problem response for code outside REST framework."""
    body = orjson.dumps(document(problem_of(status), detail))
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)
