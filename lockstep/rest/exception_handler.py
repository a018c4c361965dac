"""Turns exceptions into responses. No other module does."""

import logging
from collections.abc import Iterator
from itertools import islice

import psycopg
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from psycopg.errors import DeadlockDetected, DiskFull, LockNotAvailable, QueryCanceled, SerializationFailure
from rest_framework import exceptions
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

from lockstep.changes.database_errors import cause_of, is_read_only, is_stale
from lockstep.rest import problems
from lockstep.rest.errors import CONTENT_TYPE, MAX_ERRORS, Conflict, DomainError, Unavailable, document
from lockstep.rest.problems import problem_of
from lockstep.rest.responses import ApiResponse
from lockstep.rest.violations import CONCURRENT_WRITE, is_concurrent, trigger_message

logger = logging.getLogger(__name__)

LOCK_CONFLICTS = (DeadlockDetected, LockNotAvailable, SerializationFailure)


def exception_handler(error: Exception, context: dict[str, object]) -> ApiResponse | None:
    """REST framework's hook. None re-raises the error, which becomes a 500, logged with its traceback."""
    if isinstance(error, IntegrityError):
        error = _constraint_conflict(error)
    elif _is_database_failure(error):
        error = _unavailable(error)
    if isinstance(error, DomainError):
        set_rollback()  # with ATOMIC_REQUESTS; REST framework's handler does it for other errors
        return _domain_response(error)
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    invalid = isinstance(error, exceptions.ValidationError)
    errors = list(islice(_flatten(response.data), MAX_ERRORS + 1)) if invalid else []
    problem = problems.INVALID if errors else problem_of(response.status_code)
    detail = _summary(len(errors)) if errors else str(response.data["detail"])
    headers = {name: response[name] for name in ("WWW-Authenticate", "Retry-After") if name in response}
    return ApiResponse(document(problem, detail, errors), response.status_code, headers, CONTENT_TYPE)


def _domain_response(error: DomainError) -> ApiResponse:
    retry = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    headers = {**error.headers, **retry}
    body = document(error.problem, str(error), error.errors, **error.extensions)
    return ApiResponse(body, error.problem.status, headers=headers, content_type=CONTENT_TYPE)


def _summary(number: int) -> str:
    if number > MAX_ERRORS:
        return f"The request has more than {MAX_ERRORS} mistakes; errors has the first."
    return "The request has mistakes; see errors."


def _constraint_conflict(error: IntegrityError) -> Exception:
    """A Conflict for a concurrent write or the message of a trigger; any other error unchanged, because it is a bug."""
    if is_concurrent(error):
        logger.warning("a concurrent request came first: %s", str(error).partition("\n")[0])
        return Conflict(CONCURRENT_WRITE)
    message = trigger_message(error)
    return Conflict(message) if message else error


def _is_database_failure(error: Exception) -> bool:
    """Whether the error may be temporary. Streams use psycopg without Django, and raise its exceptions."""
    if isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)):
        return True
    return isinstance(error, (DatabaseError, psycopg.Error)) and is_stale(cause_of(error))


def _unavailable(error: Exception) -> Unavailable:
    """The error for the client, and a line in the log."""
    cause = cause_of(error)
    # If a new session fails in the same way, an operator needs the traceback.
    trace = error if is_stale(cause) and not is_read_only(cause) else None
    logger.error("the database did not serve a request: %s", str(error).partition("\n")[0], exc_info=trace)
    if is_read_only(cause):
        return Unavailable("The database is read-only right now. Nothing was changed; try again later.", retry_after=5)
    if is_stale(cause):
        return Unavailable("The database schema was altered meanwhile. Nothing was changed; retry.", retry_after=1)
    if isinstance(cause, QueryCanceled):
        return Unavailable(
            "The request took too long and was cancelled. Nothing was changed; request less data.", retry_after=2
        )
    if isinstance(cause, LOCK_CONFLICTS):
        return Unavailable("A concurrent request writes the same rows. Nothing was changed; retry.", retry_after=1)
    if isinstance(cause, DiskFull):
        detail = "The database has no disk space left right now. Nothing was changed; try again in a moment."
    else:  # possibly after the commit was sent
        detail = "The database does not answer right now; try again in a moment, with the same Idempotency-Key."
    return Unavailable(detail, retry_after=2)


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
