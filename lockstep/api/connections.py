"""The web server's connections to PostgreSQL."""

import select
from typing import Any

from django.conf import settings
from django.core.signals import request_started
from django.db import connection as default
from django.db.backends.signals import connection_created


def look_after_connections() -> None:
    """Called by whoever serves requests; commands and workers have their own ways."""
    connection_created.connect(_bound_statements)
    request_started.connect(_leave_what_was_closed)


def _bound_statements(connection: Any, **_: object) -> None:  # noqa: ANN401 - any of Django's connections
    """A request does not hold a connection for long."""
    milliseconds = int(settings.STATEMENT_SECONDS * 1000)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)])


def _leave_what_was_closed(**_: object) -> None:
    """A connection that says nothing is a good one; a server that goes closes it. Django would ask it each time."""
    if default.connection is None or default.connection.closed or default.in_atomic_block:
        return
    said = select.poll()
    said.register(default.connection.fileno(), select.POLLIN)
    if said.poll(0) and not default.is_usable():
        default.close()
