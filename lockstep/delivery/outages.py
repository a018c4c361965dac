"""Which errors are outages of our own database."""

import psycopg

from lockstep.changes.database_errors import cause_of, is_transient

TOO_MUCH = ("54", "57014")  # program limits, and timeouts


def is_outage_of_ours(error: BaseException) -> bool:
    """Whether our database failed temporarily: gone, full, out of connections, read-only, deadlocked, or altered since
    the session's plans were made.

    A statement that times out, or exceeds a limit, is none: it would fail again.
    """
    cause = cause_of(error)
    exceeds = isinstance(cause, psycopg.Error) and (cause.sqlstate or "").startswith(TOO_MUCH)
    return is_transient(error) and not exceeds
