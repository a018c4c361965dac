"""The web server's connections to PostgreSQL."""

import select
from typing import Any

from django.conf import settings
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import DEFAULT_DB_ALIAS, DatabaseError, close_old_connections, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from lockstep.changes.database_errors import cause_of, unsuitable
from lockstep.changes.query_log import bound_query_log
from lockstep.conf import lockstep_settings
from lockstep.sql import statements

__all__ = ["configure_connections", "refuse_unsuitable_database"]

SQL = statements(__file__, "connections")
# In addition to statement_timeout, which does not apply to a commit that waits for a standby.
COMMIT_SECONDS = 5.0


def configure_connections() -> None:
    """Configures the connections of a web server; commands and workers have their own configuration."""
    bound_query_log()
    connection_created.connect(_bound_statements)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    request_started.connect(_discard_broken)
    request_finished.disconnect(close_caches)  # Django's caches are not used
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)  # queries are recorded in DEBUG only


def refuse_unsuitable_database() -> None:
    """Raises UnsuitableDatabase, for the start of the web server. A database that is down may start later: no error."""
    try:
        connections[DEFAULT_DB_ALIAS].ensure_connection()
    except DatabaseError as error:
        if found := unsuitable(cause_of(error)):
            raise found from error


def _bound_statements(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Sets timeouts for statements and abandoned transactions, and generic plans for prepared statements.

    By default PostgreSQL estimates an unknown LIMIT as a tenth of the table, rejects the generic plan as too expensive,
    and plans a list of products anew each time: 165 of its 530 µs.
    """
    connection.connection.longest = lockstep_settings.REST_STATEMENT_SECONDS + COMMIT_SECONDS
    milliseconds = int(lockstep_settings.REST_STATEMENT_SECONDS * 1000)
    until_abandoned = int((lockstep_settings.REST_STATEMENT_SECONDS + COMMIT_SECONDS) * 1000)
    with connection.cursor() as cursor:
        cursor.execute(SQL["bound"], [str(milliseconds), "force_generic_plan", str(until_abandoned)])


def _discard_broken(**_: object) -> None:
    """Closes an unusable connection. One without pending input is usable: Django would run a query to find out."""
    default: Any = connections[DEFAULT_DB_ALIAS]  # the proxy `connection` would look this up for each attribute
    if default.connection is None or default.in_atomic_block:
        return
    if default.errors_occurred or default.connection.closed or _has_pending_input(default.connection):
        if not default.is_usable():
            default.close()
        default.errors_occurred = False
    elif default.connection.pgconn.parameter_status(b"default_transaction_read_only") == b"on":
        default.close()  # the setting lasts for the session: only a new one shows the current state


def _has_pending_input(connection: Any) -> bool:  # noqa: ANN401 - psycopg's
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
