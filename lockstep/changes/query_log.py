"""Django's log of queries, in development, within bounds."""

from django.db.backends.base.base import BaseDatabaseWrapper

MAX_QUERIES = 100


def bound_query_log() -> None:
    """Keeps the last 100 queries of each thread's connections instead of 9,000. For processes that run for long.

    With DEBUG every connection records its statements. Django empties that record when a request begins, in its thread;
    other threads, of the metrics or of periodic work, would fill theirs.
    """
    BaseDatabaseWrapper.queries_limit = MAX_QUERIES
