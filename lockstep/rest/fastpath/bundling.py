"""Bundled queries: a GET reads its object in the round trip of its authentication.

    1. The view opts in by one line:                @fastpath.bundles(lambda request, number: reads.post(number))
    2. The authentication asks for the query:       query = fastpath.bundled_query(request)
    3. It runs both as one statement, and keeps the row:   fastpath.keep(request, query, row)
    4. The handler fetches the row of its query:    row = fastpath.fetch(request, reads.post(number))

Saves a round trip to the database: a third of the time of such a request. A handler works in the same way without the
first three steps, because `fetch` compares the queries: a wrong line costs time, and never returns a wrong row.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple, TypeVar

from rest_framework.exceptions import APIException
from rest_framework.request import Request

from lockstep.rest.errors import DomainError
from lockstep.rest.fastpath import switch
from lockstep.rest.fastpath.statements import Values, fetch_tuple
from lockstep.sql import Statement

F = TypeVar("F", bound=Callable[..., object])
READS = ("GET", "HEAD")
QUERY_OF = "bundled_query_of"  # an attribute of a handler
FETCH_USER = Statement("%(fetch_user)s")
KEPT = "bundled"  # the name in a request's parser_context of the query and its row


class BundledQuery(NamedTuple):
    """A statement of at most one row, which can run in the same round trip as the authentication.

    In the statement, {user} stands for the id of the request's user. The first column of the row must not be null.
    """

    statement: Statement
    parameters: Mapping[str, object]
    reuse_cursor: bool = False  # faster, and keeps the result in memory until the next execution: for small rows only


def bundles(query_of: Callable[..., BundledQuery | None]) -> Callable[[F], F]:
    """Decorates a view's `get`: `query_of(request, **kwargs)` is the query that its handler will fetch.

    It returns None for a request with nothing to bundle. It is called before the authentication: `request.user` is not
    known yet. Errors that it raises are ignored: the handler raises them, after the authentication.
    """

    def decorate(handler: F) -> F:
        vars(handler)[QUERY_OF] = query_of
        return handler

    return decorate


def bundled_query(request: Request) -> BundledQuery | None:
    """The query that the view of this request bundles with its authentication; None if there is none."""
    if request.method not in READS or not switch.is_on():
        return None
    context = request.parser_context
    query_of = getattr(getattr(context.get("view"), "get", None), QUERY_OF, None)
    if query_of is None:
        return None
    try:
        query: BundledQuery | None = query_of(request, *context["args"], **context["kwargs"])
    except (APIException, DomainError):
        return None
    return query


def keep(request: Request, query: BundledQuery, row: Values | None) -> None:
    """Keeps the row of this request's bundled query for `fetch`."""
    request.parser_context[KEPT] = (query, row)


def fetch(request: Request, query: BundledQuery) -> Values | None:
    """The row of this query for the request's user: the one that was read with the authentication, or read now."""
    kept = request.parser_context.get(KEPT)
    if kept and kept[0] == query:
        row: Values | None = kept[1]
        return row
    parameters = {**query.parameters, "fetch_user": request.user.pk}
    row = fetch_tuple(for_user(query.statement, FETCH_USER), parameters, reuse_cursor=query.reuse_cursor)
    return row if row and row[0] is not None else None


@cache
def for_user(statement: Statement, user: Statement) -> Statement:
    """The statement of a bundled query, with this SQL for the id of the request's user."""
    return statement.with_parts(user=user) if statement.parts else statement
