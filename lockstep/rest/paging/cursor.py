"""Pages by cursor: a list goes on after the row where the page before it ended, however deep."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, quote_plus
from uuid import UUID

import orjson
from django.core.exceptions import ValidationError as ValidationFailed
from django.db import DataError, transaction
from django.db.models import F, Field, Lookup, Model, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from lockstep.rest.fastpath import Row
from lockstep.rest.paging.limits import M, count_rows, counted_response, cut, fitting, json_array, url_with
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse, dumps

DEFAULT_CURSOR_LIMIT, MAX_CURSOR_LIMIT = 50, 500
Ordering = tuple[str, ...]  # columns for order_by, all in one direction; none is nullable, the last is unique
NEWEST: Ordering = ("-id",)  # ids are UUIDv7, in the order of time
BY_TIME: Mapping[str, Ordering] = {"-created": NEWEST, "created": ("id",)}
Read = Callable[[UUID | None, int], tuple[list[Row], bool]]  # (key, limit) -> (rows after the key, has more)
R = TypeVar("R")
KeyedRow = tuple[str, R]  # the position of a row in its list, and the row
ReadKeyedRows = Callable[[str | None, bool, int], tuple[list[KeyedRow[R]], bool]]  # the second argument: backwards
QUOTED = str.maketrans({"+": "%2B", "/": "%2F", "=": "%3D"})  # the characters of base64 that must be escaped in a URL
NO_CURSOR = "Must be a cursor of this list, taken from `next` or `previous`."


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


class CursorParams(NamedTuple):
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


def cursor_page(
    request: ApiRequest,
    rows: QuerySet[M],
    *,
    order: Ordering = NEWEST,
    shape: Callable[[M], Mapping[str, object]],
) -> ApiResponse:
    """The page of `rows` at `cursor`, in this order; `shape` makes the representation of a row.

    A cursor holds all columns of the order. Those of REST framework hold the first and the number of rows that are
    equal in it, and repeat a page forever beyond a thousand.
    """
    columns = columns_of(order)

    def read(place: str | None, backwards: bool, limit: int) -> tuple[list[KeyedRow[M]], bool]:
        selected = rows.order_by(*order)
        if backwards:
            selected = selected.reverse()
        if place is not None:
            selected = selected.filter(_after_cursor(rows, columns, place, down=order[0].startswith("-") != backwards))
        found, more = fitting(selected, 0, limit)
        return [(place_of(row, columns), row) for row in found], more

    try:
        with transaction.atomic():  # a cursor that the database refuses must not end the request's transaction
            return _page_of(request, read, lambda row: dumps(shape(row)), rows)
    except DataError as error:
        raise _no_cursor() from error


def keyset_page(request: ApiRequest, older: Read, newer: Read, rows: QuerySet[Model]) -> ApiResponse:
    """One page of the rows of a statement, newest first, with the parameters `limit`, `cursor` and `count` (of `rows`).

    `older` and `newer` take a key (None: from the newest on) and a limit, and return rows and whether there are more.
    Each row has its `key`, and its JSON in `shown`. Of the rows beyond MAX_PAGE_BYTES they return only the first.
    """

    def read(place: str | None, backwards: bool, limit: int) -> tuple[list[KeyedRow[str]], bool]:
        found, more = (newer if backwards else older)(None if place is None else _key(place), limit)
        return [(row["key"], row["shown"]) for row in found], more

    return _page_of(request, read, str.encode, rows)


def _page_of(
    request: ApiRequest, read: ReadKeyedRows[R], shape: Callable[[R], bytes], rows: QuerySet[Model]
) -> ApiResponse:
    params = parse_cursor_params(request)
    found, more = read(params.place, params.backwards, params.limit)
    results = cut([shape(row) for _, row in found])
    more = more or len(results) < len(found)
    places = [place for place, _ in found[: len(results)]]
    if params.backwards:
        results.reverse()
        places.reverse()
    first, last = (places[0], places[-1]) if places else (None, None)
    return cursor_response(request, params, json_array(results), first, last, more, rows)


def cursor_response(
    request: ApiRequest,
    params: CursorParams,
    results: object,
    first: str | None,
    last: str | None,
    more: bool,
    rows: QuerySet[Model] | None = None,
) -> ApiResponse:
    """The response with a page: its results, the positions of its first and last row, and whether there are more.

    `rows` are counted if the request has `count`.
    """
    after = last if more or params.backwards else None
    before = first if (more if params.backwards else params.place) else None
    body = {"next": url_at(request, after), "previous": url_at(request, before, backwards=True), "results": results}
    kind = request.parameters.get("count")
    return ApiResponse(body) if kind is None or rows is None else counted_response(body, *count_rows(rows, kind))


def url_at(request: Request, place: str | None, *, backwards: bool = False) -> str | None:
    """The URL of this list at a position, with a cursor in the format of REST framework."""
    if place is None:
        return None
    cursor = b64encode(f"{'r=1&' if backwards else ''}p={quote_plus(place)}".encode()).decode().translate(QUOTED)
    address = url_with(request, {}, leave=("cursor", "offset"))
    return f"{address}{'&' if '?' in address else '?'}cursor={cursor}"


def columns_of(order: Ordering) -> list[str]:
    return [column.removeprefix("-") for column in order]


def place_of(row: object, columns: Sequence[str]) -> str:
    """The position of a row: its column as text, as in keyset_page, or all columns as JSON."""
    if len(columns) == 1:
        return str(getattr(row, columns[0]))
    return orjson.dumps([getattr(row, column) for column in columns], default=str).decode()


def _after_cursor(rows: QuerySet[Model], columns: Sequence[str], place: str, *, down: bool) -> Lookup:
    """The condition for rows after this position: one row comparison, which an index on these columns serves."""
    try:
        texts = [place] if len(columns) == 1 and not place.startswith("[") else orjson.loads(place)
        values = [_field(rows, column).to_python(value) for column, value in zip(columns, texts, strict=True)]
    except (TypeError, ValueError, ValidationFailed) as error:
        raise _no_cursor() from error
    return (TupleLessThan if down else TupleGreaterThan)(Tuple(*map(F, columns)), values)


def _field(rows: QuerySet[Any], column: str) -> "Field[Any, Any]":
    computed = rows.query.annotations.get(column)
    return computed.output_field if computed else rows.model._meta.get_field(column)


def _key(position: str) -> UUID:
    try:
        return UUID(position)
    except ValueError as error:
        raise _no_cursor() from error


def _no_cursor() -> ValidationError:
    return ValidationError({"cursor": [NO_CURSOR]})
