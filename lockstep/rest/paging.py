"""Pagination: by cursor or by offset, or as a bare array like JSONPlaceholder (`_page`, `_limit`, `Link`).

A page ends after `limit` rows, or before it would exceed MAX_PAGE_BYTES, and has at least one row; the database returns
no more than that. One row more is read to find out whether there is a next page: a count is never used for it.
"""

import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode
from uuid import UUID

import orjson
from django.core.exceptions import EmptyResultSet
from django.core.exceptions import ValidationError as ValidationFailed
from django.db import DataError, transaction
from django.db.models import F, Field, Lookup, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from orjson import Fragment
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from lockstep.rest import errors
from lockstep.rest.fastpath import Row, Values
from lockstep.rest.json import dumps
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse
from lockstep.sql import Statement, identifier, joined, statements

DEFAULT_CURSOR_LIMIT, MAX_CURSOR_LIMIT = 50, 500
DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000
MAX_PAGE = 10**9
MAX_OFFSET = 10_000  # beyond it by cursor only: an offset reads all rows that it skips
MAX_PAGE_BYTES = 1_000_000  # the rows of a page as JSON
Ordering = tuple[str, ...]  # columns for order_by, all in one direction; none is nullable, the last is unique
NEWEST: Ordering = ("-id",)  # ids are UUIDv7, in the order of time
BY_TIME: Mapping[str, Ordering] = {"-created": NEWEST, "created": ("id",)}
Read = Callable[[UUID | None, int], tuple[list[Row], bool]]  # (key, limit) -> (rows after the key, has more)
KeyedRow = tuple[Any, Any]  # the position of a row in its list, as text, and the row
ReadKeyedRows = Callable[[str | None, bool, int], tuple[list[KeyedRow], bool]]  # the second argument: backwards
NUMBERED_SIZE = 10
QUOTED = str.maketrans({"+": "%2B", "/": "%2F", "=": "%3D"})  # the characters of base64 that must be escaped in a URL
QUICKLY_COUNTED, CACHED_SECONDS = 10_000, 1.0
EXACT, ESTIMATED = "exact", "estimated"
NO_CURSOR = "Must be a cursor of this list, taken from `next` or `previous`."
SQL = statements(__file__, "paging")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a list, and whether the page ends there (`backwards`) or begins there."""

    place: str
    backwards: bool


def read_cursor(text: str) -> Cursor:
    """Parses a cursor from `next` or `previous`. Raises ValueError."""
    try:
        fields = parse_qs(b64decode(text, validate=True).decode("ascii"), strict_parsing=True)
        [place], backwards = fields.pop("p"), fields.pop("r", ["0"])
        if fields or backwards not in (["0"], ["1"]):
            raise ValueError(text)
    except (KeyError, ValueError) as error:
        raise ValueError(NO_CURSOR) from error
    return Cursor(place, backwards == ["1"])


def ordering_of(request: ApiRequest, orderings: Mapping[str, Ordering]) -> Ordering:
    """The ordering of the parameter `ordering`; the first is the default."""
    return orderings[request.parameters["ordering"]]


def page(
    request: ApiRequest,
    rows: QuerySet[Any, Any],
    *,
    order: Ordering = NEWEST,
    shape: Callable[[Any], dict[str, Any]],
) -> ApiResponse:
    """One page of `rows` in this order; `shape` makes the representation of a row.

    By `cursor` without a limit of depth, or by `offset` if it is sent. With a count for `offset` and for `count`.
    A cursor holds all columns of the order. Those of REST framework hold the first and the number of rows that are
    equal in it, and repeat a page forever beyond a thousand.
    """
    if "offset" in request.parameters:
        return offset_page(request, rows, order=order, shape=shape)
    columns = _columns(order)

    def read(place: str | None, backwards: bool, limit: int) -> tuple[list[KeyedRow], bool]:
        selected = rows.order_by(*order)
        if backwards:
            selected = selected.reverse()
        if place is not None:
            selected = selected.filter(_after_cursor(rows, columns, place, down=order[0].startswith("-") != backwards))
        fitting, more = _fitting(selected, 0, limit)
        return [(_place(row, columns), row) for row in fitting], more

    try:
        with transaction.atomic():  # a cursor that the database refuses must not end the request's transaction
            return _cursor_page(request, read, lambda row: dumps(shape(row)), rows)
    except DataError as error:
        raise _no_cursor() from error


def _columns(order: Ordering) -> list[str]:
    return [column.removeprefix("-") for column in order]


def _place(row: Any, columns: Sequence[str]) -> str:  # noqa: ANN401 - any row
    """The position of a row: its column as text, as in keyset_page, or all columns as JSON."""
    if len(columns) == 1:
        return str(getattr(row, columns[0]))
    return orjson.dumps([getattr(row, column) for column in columns], default=str).decode()


def _after_cursor(rows: QuerySet[Any, Any], columns: Sequence[str], place: str, *, down: bool) -> Lookup:
    """The condition for rows after this position: one row comparison, which an index on these columns serves."""
    try:
        texts = [place] if len(columns) == 1 and not place.startswith("[") else orjson.loads(place)
        values = [_field(rows, column).to_python(value) for column, value in zip(columns, texts, strict=True)]
    except (TypeError, ValueError, ValidationFailed) as error:
        raise _no_cursor() from error
    return (TupleLessThan if down else TupleGreaterThan)(Tuple(*map(F, columns)), values)


def _field(rows: QuerySet[Any, Any], column: str) -> "Field[Any, Any]":
    computed = rows.query.annotations.get(column)
    return computed.output_field if computed else rows.model._meta.get_field(column)


def _fitting(rows: QuerySet[Any, Any], offset: int, limit: int) -> tuple[list[Any], bool]:
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
    found = list(rows.model._default_manager.raw(sized, [MAX_PAGE_BYTES, *parameters, MAX_PAGE_BYTES]))
    fitting = [row for number, row in enumerate(found[:limit]) if number == 0 or not row.page_is_full]
    return fitting, len(fitting) < len(found)


def _cut(rows: Sequence[bytes]) -> list[bytes]:
    """The first of these rows, in JSON, within MAX_PAGE_BYTES; at least one, if there is one."""
    size = 0
    for number, row in enumerate(rows):
        size += len(row) + 1
        if number and size > MAX_PAGE_BYTES:
            return list(rows[:number])
    return list(rows)


def _array(rows: Sequence[bytes]) -> Fragment:
    return Fragment(b"[" + b",".join(rows) + b"]")


@dataclass(frozen=True, slots=True)
class CursorParams:
    """A page of a list: `limit` rows after a position, or before it (`backwards`)."""

    place: str | None
    backwards: bool
    limit: int

    @property
    def key(self) -> UUID | None:
        """The position in a list that is ordered by key. Raises ValidationError."""
        return None if self.place is None else _key(self.place)


def parse_cursor_params(request: ApiRequest) -> CursorParams:
    """Reads `limit` and `cursor`."""
    limit, cursor = request.parameters["limit"], request.parameters.get("cursor")
    return CursorParams(cursor.place, cursor.backwards, limit) if cursor else CursorParams(None, False, limit)


def cursor_response(
    request: ApiRequest,
    params: CursorParams,
    results: Any,  # noqa: ANN401 - JSON
    first: str | None,
    last: str | None,
    more: bool,
    rows: QuerySet[Any, Any] | None = None,
) -> ApiResponse:
    """The response with a page: its results, the positions of its first and last row, and whether there are more.

    `rows` are counted if the request has `count`.
    """
    after = last if more or params.backwards else None
    before = first if (more if params.backwards else params.place) else None
    body = {"next": _at(request, after), "previous": _at(request, before, backwards=True), "results": results}
    kind = request.parameters.get("count")
    return ApiResponse(body) if kind is None or rows is None else _counted(body, *_count(rows, kind))


def _counted(body: dict[str, Any], count: int, is_exact: bool) -> ApiResponse:
    return ApiResponse({"count": count, **body}, headers={} if is_exact else {"X-Count": ESTIMATED})


def _at(request: Request, place: str | None, *, backwards: bool = False) -> str | None:
    """The URL of this list at a position, with a cursor in the format of REST framework."""
    if place is None:
        return None
    cursor = b64encode(f"{'r=1&' if backwards else ''}p={quote_plus(place)}".encode()).decode().translate(QUOTED)
    address = _url(request, {}, leave=("cursor", "offset"))
    return f"{address}{'&' if '?' in address else '?'}cursor={cursor}"


def keyset_page(request: ApiRequest, older: Read, newer: Read, rows: QuerySet[Any, Any]) -> ApiResponse:
    """One page of the rows of a statement, newest first, with the parameters `limit`, `cursor` and `count` (of `rows`).

    `older` and `newer` take a key (None: from the newest on) and a limit, and return rows and whether there are more.
    Each row has its `key`, and its JSON in `shown`. Of the rows beyond MAX_PAGE_BYTES they return only the first.
    """

    def read(place: str | None, backwards: bool, limit: int) -> tuple[list[KeyedRow], bool]:
        found, more = (newer if backwards else older)(None if place is None else _key(place), limit)
        return [(row["key"], row["shown"]) for row in found], more

    return _cursor_page(request, read, str.encode, rows)


def _key(position: str) -> UUID:
    try:
        return UUID(position)
    except ValueError as error:
        raise _no_cursor() from error


def _no_cursor() -> ValidationError:
    return ValidationError({"cursor": [NO_CURSOR]})


def _cursor_page(
    request: ApiRequest, read: ReadKeyedRows, shape: Callable[[Any], bytes], rows: QuerySet[Any, Any]
) -> ApiResponse:
    params = parse_cursor_params(request)
    found, more = read(params.place, params.backwards, params.limit)
    results = _cut([shape(row) for _, row in found])
    more = more or len(results) < len(found)
    places = [place for place, _ in found[: len(results)]]
    if params.backwards:
        results.reverse()
        places.reverse()
    first, last = (places[0], places[-1]) if places else (None, None)
    return cursor_response(request, params, _array(results), first, last, more, rows)


def offset_page(
    request: ApiRequest,
    rows: QuerySet[Any, Any],
    *,
    order: Ordering = NEWEST,
    shape: Callable[[Any], dict[str, Any]],
) -> ApiResponse:
    """The page at `limit` and `offset`, with a count; or at `cursor` if it is sent (see `page`).

    If the next page would begin beyond MAX_OFFSET, `next` has a cursor.
    """
    refuse_both(request, "cursor", "offset")
    if "cursor" in request.parameters:
        return page(request, rows, order=order, shape=shape)
    limit, offset = request.parameters["limit"], request.parameters.get("offset", 0)
    rows = rows.order_by(*order)
    count, is_exact = _count(rows, request.parameters.get("count", ESTIMATED))
    found, more = _fitting(rows, offset, limit)
    results = _cut([dumps(shape(row)) for row in found])
    after, more = offset + len(results), more or len(results) < len(found)
    if more and after > MAX_OFFSET:
        following = _at(request, _place(found[len(results) - 1], _columns(order)))
    else:
        following = _url(request, {"limit": limit, "offset": after}) if more else None
    before = _before(offset, limit, count, bool(results))
    body = {
        "next": following,
        "previous": None if before is None else _url(request, {"limit": limit, "offset": before}),
        "results": _array(results),
    }
    return _counted(body, count, is_exact)


def numbered_page(
    request: ApiRequest, rows: QuerySet[Any, Any], *, shape: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    """{"count", "next", "previous", "results"} at `page` or `skip`, with `limit` (10, at most 1,000) rows.

    After a page that ends by its bytes, `next` has `skip`.
    """
    refuse_both(request, "page", "skip")
    parameters = request.parameters
    limit, number, skip = parameters["limit"], parameters["page"], parameters.get("skip")
    offset = (number - 1) * limit if skip is None else skip
    count = rows.count()
    found, more = _fitting(rows, offset, limit)
    results = _cut([dumps(shape(row)) for row in found])
    more = more or len(results) < len(found)
    if skip is None and (len(results) == limit or not more):
        following, before = {"page": number + 1}, min(number - 1, -(-count // limit))
        previous = {"page": before} if before else None
    else:
        following, place = {"skip": offset + len(results)}, _before(offset, limit, count, bool(results))
        previous = None if place is None else {"skip": place}
    return {
        "count": count,
        "next": _url(request, following, leave=("page", "skip")) if more else None,
        "previous": _url(request, previous, leave=("page", "skip")) if previous else None,
        "results": _array(results),
    }


def _before(offset: int, limit: int, count: int, there_are_rows: bool) -> int | None:
    """The offset of the previous page with rows; None if there is none."""
    if not offset or not (count or there_are_rows):
        return None
    return max((offset if there_are_rows else min(offset, count)) - limit, 0)


def page_limits(limit: int) -> dict[str, int]:
    """The limits of a page as parameters of a statement: rows and bytes."""
    return {"limit": limit, "bytes": MAX_PAGE_BYTES}


def refuse_both(request: ApiRequest, one: str, other: str) -> None:
    """Raises ValidationError for a request with two parameters that both set where the page begins."""
    if all(request._request.GET.get(name) for name in (one, other)):
        raise ValidationError({other: [f"Send either {one} or {other}, not both."]})


def _count(rows: QuerySet[Any, Any], kind: str) -> tuple[int, bool]:
    """The number of rows, and whether it is exact: beyond 10,000, ESTIMATED takes the planner's estimate."""
    if kind == EXACT:
        return rows.order_by().count(), True
    number = rows.order_by()[: QUICKLY_COUNTED + 1].count()
    if number <= QUICKLY_COUNTED:
        return number, True
    [plan] = orjson.loads(rows.order_by().explain(format="json"))
    return max(number, int(plan["Plan"]["Plan Rows"])), False


class Counted:
    """The number of rows. Numbers beyond QUICKLY_COUNTED are cached for a second."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._number = 0
        self._until = 0.0

    def __call__(self) -> int:
        if time.monotonic() >= self._until:
            self._number = self._count()
            self._until = time.monotonic() + CACHED_SECONDS if self._number > QUICKLY_COUNTED else 0.0
        return self._number


@dataclass(frozen=True, slots=True)
class PageParams:
    """A page of an array: `limit` rows from `offset` on; `by_start` if the request has `_start`."""

    limit: int
    offset: int
    by_start: bool = False

    @property
    def number(self) -> int:
        """The number of the page."""
        return self.offset // self.limit + 1


def parse_page_params(request: ApiRequest) -> PageParams:
    """Reads `_page` or `_start`, and `_limit`.

    Raises ValidationError for both `_page` and `_start`.
    """
    refuse_both(request, "_page", "_start")
    start, limit = request.parameters.get("_start"), request.parameters["_limit"]
    if start is not None:
        return PageParams(limit, start, by_start=True)
    return PageParams(limit, (request.parameters["_page"] - 1) * limit)


def array_page(
    request: ApiRequest, params: PageParams, row: Values | None, count: Callable[[], int], missing: str | None = None
) -> ApiResponse:
    """A page of rows as a bare array. `row` has the array, its length, and whether there are more rows.

    Headers have the number of all rows (from `count`, unless the page shows it) and links to other pages. After a page
    that ends by its bytes, links use `_start`. Raises NotFound with the detail `missing` without a row.
    """
    if row is None:
        raise errors.NotFound(missing)
    rows, found, more = row
    after = params.offset + found
    total = count() if more or (not found and params.offset) else after
    response = ApiResponse(Fragment(rows))
    response["X-Total-Count"] = str(total)
    is_cut = more and found < params.limit
    if params.by_start or is_cut:
        links = _start_links(params, after if more else None)
    else:
        links = _numbered_links(params, total, more)
    if links:
        address, _, rest = _url(request, {"_limit": params.limit}, leave=("_page", "_start")).partition("?")
        response["Link"] = ", ".join(f'<{address}?{place}&{rest}>; rel="{name}"' for name, place in links.items())
    return response


def _numbered_links(params: PageParams, total: int, more: bool) -> dict[str, str]:
    """Links to other pages by number; none if there is only one page."""
    number = params.number
    last = max(1, -(-total // params.limit), number + more)
    pages = {"first": 1, "prev": number - 1, **({"next": number + 1} if more else {}), "last": last}
    return {name: f"_page={one}" for name, one in pages.items() if 1 <= one <= last} if last > 1 else {}


def _start_links(params: PageParams, after: int | None) -> dict[str, str]:
    """Links to other pages by offset. `after` is None on the last page."""
    before = {"prev": f"_start={max(params.offset - params.limit, 0)}"} if params.offset else {}
    return {"first": "_page=1", **before, **({} if after is None else {"next": f"_start={after}"})}


def _url(request: Request, change: Mapping[str, int], *, leave: Collection[str] = ()) -> str:
    """The URL of this request, filters included, with these parameters changed and those in `leave` removed."""
    kept = {name: texts for name, texts in request.query_params.lists() if name not in leave}
    parameters = kept | {name: [str(value)] for name, value in change.items()}
    address = request.build_absolute_uri(request.path)
    return f"{address}?{urlencode(parameters, doseq=True)}" if parameters else address
