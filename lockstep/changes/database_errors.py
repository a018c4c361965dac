"""Classifies errors of the database: transient ones, those with a remedy, and those that end a session."""

import re

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from psycopg import errors

__all__ = ["cause_of", "is_read_only", "is_transient", "unsuitable"]

MINIMUM_VERSION = 16

READ_ONLY = "25006"
# Session state is lost or wrong: internal errors such as "cache lookup failed for type …", missing or duplicate
# prepared statements, a session that began while the server was read-only.
_SESSION_LOST = frozenset(("XX000", "26000", "42P05", READ_ONLY))

MIGRATE = "The tables are not those of this version ({}). Run: manage.py migrate"
ADDRESS = (
    "The database refuses the connection ({}). Mend DATABASES in the settings, or the variable that sets it; or make "
    "the role or database that it names."
)
RIGHTS = (
    'The role lacks rights in the database ({}). Name it in LOCKSTEP["APPLICATION_ROLE"], and run migrate as the '
    "owner of the tables, which grants them."
)
WRITES_REFUSED = "The database is read-only ({}). Name the primary in DATABASES, or allow writes again."
NOT_NOW = "The database could not do this now ({}). Try again once that has passed."
NO_ANSWER = "The database does not answer ({}). {}"
START_IT = "Start it, or mend DATABASES in the settings."

# libpq has no codes for connection failures, so these are texts. An error in another language counts as transient, and
# is logged.
_OF_THE_ADDRESS = re.compile(
    r"password authentication failed|no password supplied|authentication failed for user|no pg_hba\.conf entry"
    r"|role \".*\" does not exist|database \".*\" does not exist|no such (?:database|user)"
    r"|permission denied for database|is not permitted to log in|certificate verify failed"
    r"|(?:root )?certificate file \".*\" does not exist|could not (?:read|load) (?:root )?certificate"
    r"|server does not support SSL|server certificate for|definition of service|service file \".*\" not found"
    r"|connection (?:option|info string)|invalid (?:sslmode|URI|port number)|bad value for connect_timeout"
)

_EXCEEDED = ("54", "57014")  # program limits, and timeouts


class UnsuitableDatabase(ImproperlyConfigured):
    """The database cannot be used, and the error is not transient. The message has the remedy."""


def unsuitable(error: BaseException) -> UnsuitableDatabase | None:
    """The UnsuitableDatabase for an error that is not transient; None for others."""
    text = str(error).partition("\n")[0].strip()
    if isinstance(error, (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)):
        return UnsuitableDatabase(MIGRATE.format(text))
    if isinstance(error, errors.InsufficientPrivilege):
        return UnsuitableDatabase(RIGHTS.format(text))
    # A ProgrammingError of psycopg itself is mostly a bug, such as a missing parameter.
    of_a_connection = isinstance(error, (psycopg.OperationalError, psycopg.ProgrammingError)) and not error.sqlstate
    if of_a_connection and _OF_THE_ADDRESS.search(str(error)):
        return UnsuitableDatabase(ADDRESS.format(text))
    return None


def explanation(error: BaseException, *, start_it: str = START_IT) -> str | None:
    """The message for the user of a command; None where the error is a bug.

    `start_it` is what to do where the database does not answer.
    """
    cause = cause_of(error)
    if found := unsuitable(cause):
        return str(found)
    text = str(cause).partition("\n")[0].strip() or type(cause).__name__
    if is_read_only(cause):
        return WRITES_REFUSED.format(text)
    if isinstance(cause, psycopg.ProgrammingError) and cause.sqlstate:
        return MIGRATE.format(text)
    if isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)):
        return NOT_NOW.format(text) if cause.sqlstate else NO_ANSWER.format(text, start_it)
    return None


def is_read_only(error: BaseException | None) -> bool:
    """Whether a write failed on a standby or a read-only database."""
    return isinstance(error, errors.ReadOnlySqlTransaction)


def is_stale(error: BaseException | None) -> bool:
    """Whether the session no longer fits the database, as after "cached plan must not change result type".

    The statement had no effect, and succeeds in a new session.
    """
    if not isinstance(error, psycopg.Error):
        return False
    return error.sqlstate in _SESSION_LOST or (
        isinstance(error, errors.FeatureNotSupported) and error.diag.source_file == "plancache.c"
    )


def cause_of(error: BaseException) -> BaseException:
    """The psycopg error that Django has wrapped; any other error itself."""
    return error.__cause__ if isinstance(error, Error) and error.__cause__ else error


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed after this error of psycopg or Django."""
    cause = cause_of(error)
    return isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)) or is_stale(cause)


def is_outage(error: BaseException) -> bool:
    """Whether our database failed temporarily: gone, full, out of connections, read-only, deadlocked, or altered since
    the session's plans were made.

    A statement that times out, or exceeds a limit, is none: it would fail again.
    """
    cause = cause_of(error)
    exceeds = isinstance(cause, psycopg.Error) and (cause.sqlstate or "").startswith(_EXCEEDED)
    return is_transient(error) and not exceeds
