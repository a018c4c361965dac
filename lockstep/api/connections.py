"""The web server's connections to PostgreSQL."""

import select
from typing import Any

from django.conf import settings
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import DEFAULT_DB_ALIAS, DatabaseError, close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created

from lockstep.changes.database_errors import cause_of, unsuitable
from lockstep.changes.query_log import bound_query_log

# Beyond PostgreSQL's own limit for a statement, which does not hold for a commit that waits for a standby.
COMMIT_SECONDS = 5.0


def look_after_connections() -> None:
    """Called by whoever serves requests; commands and workers have their own ways."""
    bound_query_log()
    connection_created.connect(_bound_statements)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    request_started.connect(_leave_what_is_of_no_use)
    request_finished.disconnect(close_caches)  # nobody uses Django's
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)  # nobody counts them


def refuse_unsuitable_database() -> None:
    """Raises UnsuitableDatabase, for the start of the web server. One that does not answer may later."""
    try:
        connections[DEFAULT_DB_ALIAS].ensure_connection()
    except DatabaseError as error:
        if found := unsuitable(cause_of(error)):
            raise found from error


def _bound_statements(connection: Any, **_: object) -> None:  # noqa: ANN401 - any of Django's connections
    """A request holds no connection for long, nor rows when its process is gone; what is prepared is planned once.

    Left to itself PostgreSQL takes a LIMIT that it does not know for a tenth of the table, finds that dear, and plans a
    list of products anew each time: 165 of its 530 µs.
    """
    connection.connection.longest = settings.STATEMENT_SECONDS + COMMIT_SECONDS
    milliseconds = int(settings.STATEMENT_SECONDS * 1000)
    until_abandoned = int((settings.STATEMENT_SECONDS + COMMIT_SECONDS) * 1000)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, false), set_config('plan_cache_mode', %s, false),"
            " set_config('idle_in_transaction_session_timeout', %s, false)",
            [str(milliseconds), "force_generic_plan", str(until_abandoned)],
        )


def _leave_what_is_of_no_use(**_: object) -> None:
    """A connection that says nothing is a good one; a server that goes closes it. Django would ask it each time."""
    default: Any = connections[DEFAULT_DB_ALIAS]  # the proxy `connection` would look this up for each attribute
    if default.connection is None or default.in_atomic_block:
        return
    if default.errors_occurred or default.connection.closed or _says_something(default.connection):
        if not default.is_usable():
            default.close()
        default.errors_occurred = False
    elif default.connection.pgconn.parameter_status(b"default_transaction_read_only") == b"on":
        default.close()  # that holds for as long as the session lives: a new one shows what the database is now


def _says_something(connection: Any) -> bool:  # noqa: ANN401 - psycopg's
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    return bool(said.poll(0))
