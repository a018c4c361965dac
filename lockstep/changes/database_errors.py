"""What errors of the database mean: whether waiting helps, what to do where it does not, and which end a session."""

import re

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from psycopg import errors

MINIMUM_VERSION = 16

READ_ONLY = "25006"
# The state of a session that others rely on is gone or another: internal errors such as "cache lookup failed for
# type …", prepared statements that are not there or already there, a session of a time when the server was read-only.
_SESSION_LOST = frozenset(("XX000", "26000", "42P05", READ_ONLY))

MIGRATE = "The tables are not those of this version ({}). Run: manage.py migrate"
ADDRESS = "The database refuses the connection ({}). Mend DATABASE_URL, or make the role or database that it names."
RIGHTS = "The role lacks rights in the database ({}). Run migrate with APPLICATION_ROLE; see docs/security.md."
WRITES_REFUSED = "The database is read-only ({}). Name the primary in DATABASE_URL, or allow writes again."
NOT_NOW = "The database could not do this now ({}). Try again once that has passed."
NO_ANSWER = (
    "The database does not answer ({}). In development start `make run`; if it runs with a LOCKSTEP_HOME of its own,"
    " set the same LOCKSTEP_HOME here."
)

# libpq has no codes for what happens before there is a connection, so that these are texts. A server that speaks
# another language than English is waited for, and what it says is logged.
_OF_THE_ADDRESS = re.compile(
    r"password authentication failed|no password supplied|authentication failed for user|no pg_hba\.conf entry"
    r"|role \".*\" does not exist|database \".*\" does not exist|no such (?:database|user)"
    r"|permission denied for database|is not permitted to log in|certificate verify failed"
    r"|(?:root )?certificate file \".*\" does not exist|could not (?:read|load) (?:root )?certificate"
    r"|server does not support SSL|server certificate for|definition of service|service file \".*\" not found"
    r"|connection (?:option|info string)|invalid (?:sslmode|URI|port number)|bad value for connect_timeout"
)


class UnsuitableDatabase(ImproperlyConfigured):
    """The database cannot be used, and waiting does not help. The message says what to do."""


def unsuitable(error: BaseException) -> UnsuitableDatabase | None:
    """What to do about an error that does not pass by waiting; None where it may pass."""
    text = str(error).partition("\n")[0].strip()
    if isinstance(error, (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)):
        return UnsuitableDatabase(MIGRATE.format(text))
    if isinstance(error, errors.InsufficientPrivilege):
        return UnsuitableDatabase(RIGHTS.format(text))
    # A ProgrammingError of psycopg's own is mostly a mistake of ours, such as a parameter that a statement lacks.
    of_a_connection = isinstance(error, (psycopg.OperationalError, psycopg.ProgrammingError)) and not error.sqlstate
    if of_a_connection and _OF_THE_ADDRESS.search(str(error)):
        return UnsuitableDatabase(ADDRESS.format(text))
    return None


def explanation(error: BaseException) -> str | None:
    """What to tell the user of a command that met this error; None where the error is a mistake of ours."""
    cause = cause_of(error)
    if found := unsuitable(cause):
        return str(found)
    text = str(cause).partition("\n")[0].strip() or type(cause).__name__
    if is_read_only(cause):
        return WRITES_REFUSED.format(text)
    if isinstance(cause, psycopg.ProgrammingError) and cause.sqlstate:
        return MIGRATE.format(text)
    if isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)):
        return (NOT_NOW if cause.sqlstate else NO_ANSWER).format(text)
    return None


def is_read_only(error: BaseException | None) -> bool:
    """Whether a write met a database that takes none: a standby, or one that was made read-only."""
    return isinstance(error, errors.ReadOnlySqlTransaction)


def is_stale(error: BaseException | None) -> bool:
    """Whether the session does not fit the database any more, as after "cached plan must not change result type".

    A new session does; of the statement nothing was carried out.
    """
    if not isinstance(error, psycopg.Error):
        return False
    return error.sqlstate in _SESSION_LOST or (
        isinstance(error, errors.FeatureNotSupported) and error.diag.source_file == "plancache.c"
    )


def cause_of(error: BaseException) -> BaseException:
    """psycopg's error, where Django has wrapped it; any other error itself."""
    return error.__cause__ if isinstance(error, Error) and error.__cause__ else error


def is_transient(error: BaseException) -> bool:
    """Whether the same may succeed another time, of psycopg's errors and of Django's around them."""
    cause = cause_of(error)
    return isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)) or is_stale(cause)
