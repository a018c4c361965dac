"""Every error, as the client sees it: problem+json (RFC 9457).

    DomainError                     what an action refuses; the docstring is the message
    ├── Invalid             400     what was given has mistakes, by field
    ├── InsufficientScope   403     the token may not do this
    ├── NotFound            404     there is no such object for this caller
    ├── Conflict            409     the object's state does not allow it
    ├── OutOfDate           412     the object is not the one that the caller saw
    ├── TooManyRequests     429     later, and it says when
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

# What an error may be, whatever caused it: with every character as an escape of six bytes still below 64 KB.
MAX_ERRORS = 20
MAX_ERRORS_TEXT = 8_000  # characters of all of them together
MAX_DETAIL = 2_000
MAX_QUOTED = 100  # of a name or a value of the client's, quoted in an error


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


class OutOfDate(DomainError):
    """It was changed since you read it."""

    problem = problems.OUT_OF_DATE


class TooManyRequests(DomainError):
    """Too many requests."""

    problem = problems.TOO_MANY_REQUESTS

    def __init__(self, detail: str | None = None, *, retry_after: int) -> None:
        wait = f"{retry_after:,} second{'' if retry_after == 1 else 's'}"
        super().__init__(f"{detail or type(self).__doc__} Try again in {wait}.", retry_after=retry_after)


class Unavailable(DomainError):
    """It does not work right now. Nothing was changed."""

    problem = problems.UNAVAILABLE


def document(problem: Problem, detail: str, errors: Errors = (), **more: Any) -> dict[str, Any]:  # noqa: ANN401 - members of JSON
    """The body of an error: `errors` has one {"field", "detail"} for each thing to mend, the first twenty of them."""
    return {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": cut(detail, MAX_DETAIL),
        "errors": _bounded(errors),
        **more,
    }


def cut(text: str, length: int) -> str:
    """The text, or its beginning where it is longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _bounded(errors: Errors) -> list[dict[str, str]]:
    """As many of the errors as an answer may have, names and values in them cut."""
    kept, left = [], MAX_ERRORS_TEXT
    for error in errors[:MAX_ERRORS]:
        field = cut(error["field"], MAX_QUOTED)
        kept.append({"field": field, "detail": cut(error["detail"], min(MAX_DETAIL, left - len(field)))})
        left -= len(field) + len(kept[-1]["detail"])
        if left < 2 * MAX_QUOTED:
            break
    return kept


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """The same for code outside REST framework."""
    body = orjson.dumps(document(problem_of(status), detail))
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)
