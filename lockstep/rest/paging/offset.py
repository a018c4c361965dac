"""Pages by offset, or by number: with a count of all rows."""

from collections.abc import Callable, Mapping

from django.db.models import QuerySet

from lockstep.rest.paging.cursor import NEWEST, Ordering, columns_of, cursor_page, place_of, url_at
from lockstep.rest.paging.limits import (
    ESTIMATED,
    M,
    count_rows,
    counted_response,
    cut,
    fitting,
    json_array,
    refuse_both,
    url_with,
)
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse, dumps

MAX_PAGE = 10**9
MAX_OFFSET = 10_000  # beyond it by cursor only: an offset reads all rows that it skips
NUMBERED_SIZE = 10


def page(
    request: ApiRequest,
    rows: QuerySet[M],
    *,
    order: Ordering = NEWEST,
    shape: Callable[[M], Mapping[str, object]],
) -> ApiResponse:
    """One page of `rows` in this order; `shape` makes the representation of a row.

    By `cursor` without a limit of depth, or by `offset` if it is sent. With a count for `offset` and for `count`.
    """
    by_offset = "offset" in request.parameters
    return (offset_page if by_offset else cursor_page)(request, rows, order=order, shape=shape)


def offset_page(
    request: ApiRequest,
    rows: QuerySet[M],
    *,
    order: Ordering = NEWEST,
    shape: Callable[[M], Mapping[str, object]],
) -> ApiResponse:
    """The page at `limit` and `offset`, with a count; or at `cursor` if it is sent.

    If the next page would begin beyond MAX_OFFSET, `next` has a cursor.
    """
    refuse_both(request, "cursor", "offset")
    if "cursor" in request.parameters:
        return cursor_page(request, rows, order=order, shape=shape)
    limit, offset = request.parameters["limit"], request.parameters.get("offset", 0)
    rows = rows.order_by(*order)
    count, is_exact = count_rows(rows, request.parameters.get("count", ESTIMATED))
    found, more = fitting(rows, offset, limit)
    results = cut([dumps(shape(row)) for row in found])
    after, more = offset + len(results), more or len(results) < len(found)
    if more and after > MAX_OFFSET:
        following = url_at(request, place_of(found[len(results) - 1], columns_of(order)))
    else:
        following = url_with(request, {"limit": limit, "offset": after}) if more else None
    before = _before(offset, limit, count, bool(results))
    body: dict[str, object] = {
        "next": following,
        "previous": None if before is None else url_with(request, {"limit": limit, "offset": before}),
        "results": json_array(results),
    }
    return counted_response(body, count, is_exact)


def numbered_page(
    request: ApiRequest, rows: QuerySet[M], *, shape: Callable[[M], Mapping[str, object]]
) -> dict[str, object]:
    """{"count", "next", "previous", "results"} at `page` or `skip`, with `limit` (10, at most 1,000) rows.

    After a page that ends by its bytes, `next` has `skip`.
    """
    refuse_both(request, "page", "skip")
    parameters = request.parameters
    limit, number, skip = parameters["limit"], parameters["page"], parameters.get("skip")
    offset = (number - 1) * limit if skip is None else skip
    count = rows.count()
    found, more = fitting(rows, offset, limit)
    results = cut([dumps(shape(row)) for row in found])
    more = more or len(results) < len(found)
    if skip is None and (len(results) == limit or not more):
        following, before = {"page": number + 1}, min(number - 1, -(-count // limit))
        previous = {"page": before} if before else None
    else:
        following, place = {"skip": offset + len(results)}, _before(offset, limit, count, bool(results))
        previous = None if place is None else {"skip": place}
    return {
        "count": count,
        "next": url_with(request, following, leave=("page", "skip")) if more else None,
        "previous": url_with(request, previous, leave=("page", "skip")) if previous else None,
        "results": json_array(results),
    }


def _before(offset: int, limit: int, count: int, there_are_rows: bool) -> int | None:
    """The offset of the previous page with rows; None if there is none."""
    if not offset or not (count or there_are_rows):
        return None
    return max((offset if there_are_rows else min(offset, count)) - limit, 0)
