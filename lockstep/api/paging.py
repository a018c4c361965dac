"""Pages: by cursor or offset; or of a bare array, as JSONPlaceholder has them (`_page`, `_limit`, `Link`)."""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode
from uuid import UUID

from django.core.exceptions import ValidationError as ValidationFailed
from django.db import DataError, transaction
from django.db.models import F, Field, Lookup, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from orjson import Fragment, dumps, loads
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from lockstep.api import errors
from lockstep.api.answers import Answer
from lockstep.api.requests import Asking
from lockstep.api.statements import Row

UNASKED_LIMIT = 1_000
LARGEST_LIMIT = 10_000
LARGEST_PAGE = 10**9
LARGEST_OFFSET = 10_000  # further down goes by cursor: an offset reads all that it skips
Ordering = tuple[str, ...]  # columns as order_by takes them, in one direction; none is ever null, the last is unique
NEWEST: Ordering = ("-id",)  # ids are made in the order of time
BY_TIME: Mapping[str, Ordering] = {"-created": NEWEST, "created": ("id",)}
Read = Callable[[UUID | None, int], list[Row]]
Placed = tuple[Any, Any]  # where a row stands in its list, a text, and the row
ReadPlaced = Callable[[str | None, bool, int], list[Placed]]  # after which place, backwards or not, how many
NUMBERED_SIZE = 10
QUOTED = str.maketrans({"+": "%2B", "/": "%2F", "=": "%3D"})  # what base64 has that an address has not
QUICKLY_COUNTED, REMEMBERED_SECONDS = 10_000, 1.0


class CursorPage(CursorPagination):
    """{"next", "previous", "results"}: newest first, `limit` (50, at most 500) a page, as deep as you like."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    invalid_cursor_message = "The cursor is not one of ours. Take it from `next` or `previous`."


def ordering_of(request: Request, orderings: Mapping[str, Ordering]) -> Ordering:
    """The one that `ordering` asks for by name; the first where nothing is asked for. Raises ValidationError."""
    name = request.query_params.get("ordering") or next(iter(orderings))
    if name not in orderings:
        raise ValidationError({"ordering": [f"One of {', '.join(orderings)}."]})
    return orderings[name]


def page(
    request: Request,
    rows: QuerySet[Any, Any],
    *,
    order: Ordering = NEWEST,
    size: int = CursorPage.page_size,
    shape: Callable[[Any], dict[str, Any]],
) -> Answer:
    """One page of `rows` in this order, of `size` unless `limit` asks otherwise; `shape` makes what the client sees.

    By `cursor`, as deep as you like and without a count; or by `offset`, with a count, where somebody asks for that.
    A cursor holds all columns of the order. The library's own know the first, count how many rows are equal in that,
    and repeat a page for ever beyond a thousand.
    """
    if "offset" in request.query_params:
        return offset_page(request, rows, order=order, size=size, shape=shape)
    columns = [column.removeprefix("-") for column in order]

    def read(place: str | None, backwards: bool, limit: int) -> list[Placed]:
        found = rows.order_by(*order)
        if backwards:
            found = found.reverse()
        if place is not None:
            found = found.filter(_beyond(rows, columns, place, down=order[0].startswith("-") != backwards))
        return [(_place(row, columns), row) for row in found[:limit]]

    try:
        with transaction.atomic():  # a cursor that the database refuses must not end the request's transaction
            return _cursor_page(request, read, shape, size)
    except DataError as error:
        raise NotFound(CursorPage.invalid_cursor_message) from error


def _place(row: Any, columns: Sequence[str]) -> str:  # noqa: ANN401 - any row
    return dumps([getattr(row, column) for column in columns], default=str).decode()


def _beyond(rows: QuerySet[Any, Any], columns: Sequence[str], place: str, *, down: bool) -> Lookup:
    """What comes after this place, as one comparison of rows, which an index over these columns answers."""
    try:
        values = [_field(rows, column).to_python(value) for column, value in zip(columns, loads(place), strict=True)]
    except (TypeError, ValueError, ValidationFailed) as error:
        raise NotFound(CursorPage.invalid_cursor_message) from error
    return (TupleLessThan if down else TupleGreaterThan)(Tuple(*map(F, columns)), values)


def _field(rows: QuerySet[Any, Any], column: str) -> "Field[Any, Any]":
    computed = rows.query.annotations.get(column)
    return computed.output_field if computed else rows.model._meta.get_field(column)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a list that a page shows: so many after a place, or before it (`backwards`)."""

    place: str | None
    backwards: bool
    limit: int

    @property
    def key(self) -> UUID | None:
        """The place in a list by key. Raises NotFound."""
        return None if self.place is None else _key(self.place)


def part_of(request: Request, size: int = CursorPage.page_size) -> Part:
    """What `limit` and `cursor` ask for. Raises NotFound for a cursor that is none of ours."""
    pages = CursorPage()
    pages.page_size = size
    cursor = pages.decode_cursor(request)
    limit = pages.get_page_size(request) or size
    return Part(str(cursor.position), cursor.reverse, limit) if cursor else Part(None, False, limit)


def part_page(request: Request, part: Part, shown: Any, first: str | None, last: str | None, more: bool) -> Answer:  # noqa: ANN401 - JSON
    """A page of this part: what is shown, the places of its first and last row, and whether there is more."""
    after = last if more or part.backwards else None
    before = first if (more if part.backwards else part.place) else None
    return Answer({"next": _at(request, after), "previous": _at(request, before, backwards=True), "results": shown})


def _at(request: Request, place: str | None, *, backwards: bool = False) -> str | None:
    """This list at a place of it, with a cursor as the library makes them."""
    if place is None:
        return None
    cursor = b64encode(f"{'r=1&' if backwards else ''}p={quote_plus(place)}".encode()).decode().translate(QUOTED)
    address = _url(request, {}, leave="cursor")
    return f"{address}{'&' if '?' in address else '?'}cursor={cursor}"


def keyset_page(request: Request, older: Read, newer: Read) -> Answer:
    """One page of statements' rows, newest first, by the same `limit` and `cursor` as `page`.

    `older` and `newer` take a key (None: from the newest on) and how many rows; each row has its `key`, and is `shown`.
    """

    def read(place: str | None, backwards: bool, limit: int) -> list[Placed]:
        found = (newer if backwards else older)(None if place is None else _key(place), limit)
        return [(row["key"], row["shown"]) for row in found]

    return _cursor_page(request, read, Fragment, CursorPage.page_size)


def _key(position: str) -> UUID:
    try:
        return UUID(position)
    except ValueError as error:
        raise NotFound(CursorPage.invalid_cursor_message) from error


def _cursor_page(request: Request, read: ReadPlaced, shape: Callable[[Any], Any], size: int) -> Answer:
    part = part_of(request, size)
    found = read(part.place, part.backwards, part.limit + 1)
    rows, more = found[: part.limit], len(found) > part.limit
    if part.backwards:
        rows.reverse()
    first, last = (rows[0][0], rows[-1][0]) if rows else (None, None)
    return part_page(request, part, [shape(row) for _, row in rows], first, last, more)


def offset_page(
    request: Request,
    rows: QuerySet[Any, Any],
    *,
    order: Ordering = NEWEST,
    size: int = CursorPage.page_size,
    shape: Callable[[Any], dict[str, Any]],
) -> Answer:
    """The page that `limit` and `offset` ask for, with a count; `page` says more."""
    rows = rows.order_by(*order)
    limit = _whole(request, "limit", size, 1, CursorPage.max_page_size)
    offset = _whole(request, "offset", 0, 0, LARGEST_OFFSET)
    count, is_exact = _count(rows)
    after, before = offset + limit, max(offset - limit, 0)
    body = {
        "count": count,
        "next": _url(request, {"limit": limit, "offset": after}) if after < count else None,
        "previous": _url(request, {"limit": limit, "offset": before}) if offset else None,
        "results": [shape(row) for row in rows[offset:after]],
    }
    return Answer(body, headers={} if is_exact else {"X-Count": "estimated"})


def numbered_page(
    request: Request, rows: QuerySet[Any, Any], *, shape: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    """{"count", "next", "previous", "results"} by `page`, or by `skip`; `limit` (10, at most 1,000) rows a page."""
    limit = _whole(request, "limit", NUMBERED_SIZE, 1, UNASKED_LIMIT)
    by, first, step = ("skip", 0, limit) if "skip" in request.query_params else ("page", 1, 1)
    place = _whole(request, by, first, first, LARGEST_OFFSET)
    offset = place if by == "skip" else (place - 1) * limit
    count = rows.count()
    return {
        "count": count,
        "next": _url(request, {by: place + step}) if offset + limit < count else None,
        "previous": _url(request, {by: max(place - step, first)}) if place > first else None,
        "results": [shape(row) for row in rows[offset : offset + limit]],
    }


def _count(rows: QuerySet[Any, Any]) -> tuple[int, bool]:
    """How many rows there are, and whether that is exact: beyond 10,000 the planner's estimate must do."""
    number = rows.order_by()[: QUICKLY_COUNTED + 1].count()
    if number <= QUICKLY_COUNTED:
        return number, True
    [told] = json.loads(rows.order_by().explain(format="json"))
    return max(number, int(told["Plan"]["Plan Rows"])), False


class Counted:
    """How many rows there are; a number that takes long to find is remembered for a second."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._known = 0
        self._until = 0.0

    def __call__(self) -> int:
        if time.monotonic() >= self._until:
            self._known = self._count()
            self._until = time.monotonic() + REMEMBERED_SECONDS if self._known > QUICKLY_COUNTED else 0.0
        return self._known


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rows of a list that a page shows: so many, from the one of this number on."""

    limit: int
    offset: int


def stretch_of(request: Request) -> Stretch:
    """What `_page` and `_limit` ask for, at most 1,000 rows unless `_limit` says otherwise. Raises ValidationError."""
    number = _whole(request, "_page", 1, 1, LARGEST_PAGE)
    limit = _whole(request, "_limit", UNASKED_LIMIT, 1, LARGEST_LIMIT)
    return Stretch(limit, (number - 1) * limit)


def array_page(request: Asking, stretch: Stretch, count: Callable[[], int], missing: str | None = None) -> Answer:
    """A page of rows as a bare array: what was read for the request is the array, and how many are in it.

    The headers tell how many rows there are (`count`, where the page does not tell) and where the first, previous, next
    and last pages lie. Raises NotFound, which says what is `missing`, where nothing was read.
    """
    if request.found is None:
        raise errors.NotFound(missing)
    shown, found = request.found
    limit, number = stretch.limit, stretch.offset // stretch.limit + 1
    is_last = found < limit and (found or number == 1)
    total = stretch.offset + found if is_last else count()
    response = Answer(Fragment(shown))
    response["X-Total-Count"] = str(total)
    last = max(1, -(-total // limit))
    if last > 1:
        pages = {"first": 1, "prev": number - 1, "next": number + 1, "last": last}
        address, _, rest = _url(request, {"_limit": limit}, leave="_page").partition("?")
        response["Link"] = ", ".join(
            f'<{address}?_page={one}&{rest}>; rel="{relation}"' for relation, one in pages.items() if 1 <= one <= last
        )
    return response


def _whole(request: Request, name: str, default: int, smallest: int, largest: int) -> int:
    given = request.query_params.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 20 and smallest <= int(given) <= largest):
        raise ValidationError({name: [f"A whole number from {smallest} to {largest:,}."]})
    return int(given)


def _url(request: Request, change: Mapping[str, int], *, leave: str = "") -> str:
    """This very address, filters included, at another place of the list; without the parameter that is to be left."""
    parameters = dict(request.query_params.lists()) | {name: [str(value)] for name, value in change.items()}
    parameters.pop(leave, None)
    address = request.build_absolute_uri(request.path)
    return f"{address}?{urlencode(parameters, doseq=True)}" if parameters else address
