"""Limits Django's log of queries in development."""

from django.db.backends.base.base import BaseDatabaseWrapper

MAX_QUERIES = 100


def bound_query_log() -> None:
    """Keeps the last 100 queries of each thread's connections instead of 9,000. For long-running processes.

    With DEBUG every connection records its statements. Django clears the record at the beginning of a request, in its
    thread only; threads of metrics or periodic work would accumulate them.
    """
    BaseDatabaseWrapper.queries_limit = MAX_QUERIES
