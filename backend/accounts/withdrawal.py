"""The withdrawal of a user's rights, which triggers do for every writer (sql/withdrawal.sql)."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from lockstep.sql import statements

WITHDRAWAL = statements(__file__, "withdrawal")


@contextmanager
def keeping_sessions(kept: str) -> Iterator[None]:
    """A transaction in which a new password does not end this session (an id), or "all" sessions of the account.

    Any other new password ends them all, for every writer.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(WITHDRAWAL["keep_sessions"], [kept])
        yield
        cursor.execute(WITHDRAWAL["keep_sessions"], [""])
