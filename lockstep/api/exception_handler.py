"""Any error becomes an answer here, and nowhere else."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

import psycopg
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError
from psycopg.errors import DeadlockDetected, DiskFull, LockNotAvailable, QueryCanceled, SerializationFailure
from rest_framework import exceptions
from rest_framework.views import exception_handler as drf_exception_handler

from lockstep.api import problems
from lockstep.api.answers import Answer
from lockstep.api.errors import CONTENT_TYPE, MAX_ERRORS, Conflict, DomainError, Unavailable, document
from lockstep.api.problems import problem_of
from lockstep.changes.database_errors import cause_of, is_read_only, is_stale
from lockstep.changes.violations import CONCURRENT_WRITE, is_concurrent, sentence_of_trigger

logger = logging.getLogger(__name__)

OTHERS_IN_THE_WAY = (DeadlockDetected, LockNotAvailable, SerializationFailure)


def exception_handler(error: Exception, context: dict[str, Any]) -> Answer | None:
    """REST framework's hook. None hands the error on: it becomes a 500, logged with its traceback."""
    if isinstance(error, IntegrityError):
        error = _of_a_constraint(error)
    elif _is_of_the_database(error):
        error = _of_the_database(error)
    if isinstance(error, DomainError):
        return _answer(error)
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    invalid = isinstance(error, exceptions.ValidationError)
    errors = list(islice(_flatten(response.data), MAX_ERRORS + 1)) if invalid else []
    problem = problems.INVALID if errors else problem_of(response.status_code)
    detail = _mistakes(len(errors)) if errors else str(response.data["detail"])
    headers = {name: response[name] for name in ("WWW-Authenticate", "Retry-After") if name in response}
    return Answer(document(problem, detail, errors), response.status_code, headers, CONTENT_TYPE)


def _answer(error: DomainError) -> Answer:
    retry = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    headers = {**error.headers, **retry}
    body = document(error.problem, str(error), error.errors, **error.more)
    return Answer(body, error.problem.status, headers=headers, content_type=CONTENT_TYPE)


def _mistakes(number: int) -> str:
    if number > MAX_ERRORS:
        return f"The request has more than {MAX_ERRORS} mistakes; errors has the first."
    return "The request has mistakes; see errors."


def _of_a_constraint(error: IntegrityError) -> Exception:
    """A conflict where another request came first, or where a trigger says why; else the error itself: it is ours."""
    if is_concurrent(error):
        logger.warning("a concurrent request came first: %s", str(error).partition("\n")[0])
        return Conflict(CONCURRENT_WRITE)
    sentence = sentence_of_trigger(error)
    return Conflict(sentence) if sentence else error


def _is_of_the_database(error: Exception) -> bool:
    """Whether it may pass: by Django, or by psycopg itself, whose connections a stream has."""
    if isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)):
        return True
    return isinstance(error, (DatabaseError, psycopg.Error)) and is_stale(cause_of(error))


def _of_the_database(error: Exception) -> Unavailable:
    """What a database that does not serve a request is to the client, and to whoever reads the log."""
    cause = cause_of(error)
    # Where a new session does not help either, an operator needs the traceback.
    trace = error if is_stale(cause) and not is_read_only(cause) else None
    logger.error("a request met a database that does not serve it: %s", str(error).partition("\n")[0], exc_info=trace)
    if is_read_only(cause):
        return Unavailable("The database is read-only right now. Nothing was changed; try again later.", retry_after=5)
    if is_stale(cause):
        return Unavailable("The database was altered meanwhile. Nothing was changed; send it again.", retry_after=1)
    if isinstance(cause, QueryCanceled):
        return Unavailable("This took too long and was given up. Nothing was changed; ask for less.", retry_after=2)
    if isinstance(cause, OTHERS_IN_THE_WAY):
        return Unavailable("Another request writes the same rows. Nothing was changed; send it again.", retry_after=1)
    if isinstance(cause, DiskFull):
        detail = "The database has no room left for this right now. Nothing was changed; try again in a moment."
    else:  # perhaps since it was told to commit
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
