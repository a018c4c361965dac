"""Triggers that no session can switch off.

Each of pgtrigger's triggers asks the function `_pgtrigger_should_ignore` first, which reads the setting
`pgtrigger.ignore`: whoever may write to a table could so write past the log, the ledger and the states. To ask also
costs an order some 50 us of its 600 in the database, because reading a setting that nobody made is an error to recover
from (decision 28). Here the answer is always no, which PostgreSQL knows when it plans.
"""

from typing import Any

from django.db import connection

NEVER = """
CREATE OR REPLACE FUNCTION public._pgtrigger_should_ignore(trigger_name name) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT false'
"""
# pgtrigger's own has to look at the session, and is volatile.
IGNORABLE = "SELECT provolatile <> 'i' FROM pg_proc WHERE oid = to_regproc('public._pgtrigger_should_ignore')"


def let_nobody_ignore(using: str, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
    """After each `migrate`: a migration that brings triggers brings pgtrigger's function again."""
    if using == "default":
        with connection.cursor() as cursor:
            cursor.execute(NEVER)


def can_be_ignored() -> bool:
    """Whether a session could switch triggers off, because pgtrigger's own function is (again) in its place."""
    with connection.cursor() as cursor:
        cursor.execute(IGNORABLE)
        found = cursor.fetchone()
    return bool(found and found[0])
