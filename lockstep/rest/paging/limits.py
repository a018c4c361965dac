"""What pages of all kinds share: limits, the rows that fit, counts and links."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson
from django.core.exceptions import EmptyResultSet
from django.db.models import Model, QuerySet
from orjson import Fragment
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse
from lockstep.sql import Statement, identifier, joined, statements

MAX_PAGE_BYTES = 1_000_000  # the rows of a page as JSON
QUICKLY_COUNTED = 10_000
EXACT, ESTIMATED = "exact", "estimated"
SQL = statements(__file__, "paging")
M = TypeVar("M", bound=Model)


def page_limits(limit: int) -> dict[str, int]:
    """The limits of a page as parameters of a statement: rows and bytes."""
    return {"limit": limit, "bytes": MAX_PAGE_BYTES}


def refuse_both(request: ApiRequest, one: str, other: str) -> None:
    """Raises ValidationError for a request with two parameters that both set where the page begins."""
    sent = request._request.GET
    if sent.get(one) and sent.get(other):
        raise ValidationError({other: [f"Send either {one} or {other}, not both."]})


def fitting(rows: QuerySet[M], offset: int, limit: int) -> tuple[list[M], bool]:
    """Up to `limit` rows from this offset on, within MAX_PAGE_BYTES, and whether there are more.

    The database sums the lengths of the rows as text, and does not send those beyond the limit.
    """
    compiler: Any = rows[offset : offset + limit + 1].query.get_compiler(rows.db)
    try:
        statement, parameters = compiler.as_sql()
    except EmptyResultSet:
        return [], False
    columns = joined(identifier(alias or column.target.column) for column, _, alias in compiler.select)
    sized = SQL["sized"].with_parts(rows=Statement(statement), columns=columns)
    found: list[Any] = list(rows.model._default_manager.raw(sized, [MAX_PAGE_BYTES, *parameters, MAX_PAGE_BYTES]))
    fitting = [row for number, row in enumerate(found[:limit]) if number == 0 or not row.page_is_full]
    return fitting, len(fitting) < len(found)


def cut(rows: Sequence[bytes]) -> list[bytes]:
    """The first of these rows, in JSON, within MAX_PAGE_BYTES; at least one, if there is one."""
    size = 0
    for number, row in enumerate(rows):
        size += len(row) + 1
        if number and size > MAX_PAGE_BYTES:
            return list(rows[:number])
    return list(rows)


def json_array(rows: Sequence[bytes]) -> Fragment:
    return Fragment(b"[" + b",".join(rows) + b"]")


def count_rows(rows: QuerySet[Model], kind: str) -> tuple[int, bool]:
    """The number of rows, and whether it is exact: beyond 10,000, ESTIMATED takes the planner's estimate."""
    if kind == EXACT:
        return rows.order_by().count(), True
    number = rows.order_by()[: QUICKLY_COUNTED + 1].count()
    if number <= QUICKLY_COUNTED:
        return number, True
    [plan] = orjson.loads(rows.order_by().explain(format="json"))
    return max(number, int(plan["Plan"]["Plan Rows"])), False


def counted_response(body: dict[str, object], count: int, is_exact: bool) -> ApiResponse:
    return ApiResponse({"count": count, **body}, headers={} if is_exact else {"X-Count": ESTIMATED})


def url_with(request: Request, change: Mapping[str, int], *, leave: Collection[str] = ()) -> str:
    """The URL of this request, filters included, with these parameters changed and those in `leave` removed."""
    kept = {name: texts for name, texts in request.query_params.lists() if name not in leave}
    parameters = kept | {name: [str(value)] for name, value in change.items()}
    address = request.build_absolute_uri(request.path)
    return f"{address}?{urlencode(parameters, doseq=True)}" if parameters else address
