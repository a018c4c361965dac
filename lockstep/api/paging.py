"""Pages: by cursor or offset; or of a bare array, as JSONPlaceholder has them (`_page`, `_limit`, `Link`).

A page ends after so many rows, or before it would have more than MAX_PAGE_BYTES, with at least one row: the database
gives no more than that. Whether there is a further page is never taken from a count: one row more is looked for.
"""

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.core.exceptions import ValidationError as ValidationFailed
from django.db import DataError, transaction
from django.db.models import F, Field, Lookup, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from orjson import Fragment, dumps, loads
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from lockstep.api import errors
from lockstep.api.answers import Answer
from lockstep.api.json import written
from lockstep.api.requests import Asking
from lockstep.api.statements import Row
from lockstep.changes.sql_file import load

DEFAULT_CURSOR_LIMIT, MAX_CURSOR_LIMIT = 50, 500
UNASKED_LIMIT = 1_000
LARGEST_LIMIT = 10_000
LARGEST_PAGE = 10**9
LARGEST_OFFSET = 10_000  # further down goes by cursor: an offset reads all that it skips
MAX_PAGE_BYTES = 1_000_000  # of the rows of a page, as JSON
Ordering = tuple[str, ...]  # columns as order_by takes them, in one direction; none is ever null, the last is unique
NEWEST: Ordering = ("-id",)  # ids are made in the order of time
BY_TIME: Mapping[str, Ordering] = {"-created": NEWEST, "created": ("id",)}
Read = Callable[[UUID | None, int], tuple[list[Row], bool]]  # after which key, how many; and whether there are more
Placed = tuple[Any, Any]  # where a row stands in its list, a text, and the row
ReadPlaced = Callable[[str | None, bool, int], tuple[list[Placed], bool]]  # the same; backwards or not
NUMBERED_SIZE = 10
QUOTED = str.maketrans({"+": "%2B", "/": "%2F", "=": "%3D"})  # what base64 has that an address has not
QUICKLY_COUNTED, REMEMBERED_SECONDS = 10_000, 1.0
EXACT, ESTIMATED = "exact", "estimated"
NO_CURSOR = "Must be a cursor of this list, taken from `next` or `previous`."
SQL = load(Path(__file__).parent / "sql" / "paging.sql")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list, and whether the page ends there (`backwards`) or begins."""

    place: str
    backwards: bool


def read_cursor(text: str) -> Cursor:
    """A cursor as `next` and `previous` have it. Raises ValueError."""
    try:
        fields = parse_qs(b64decode(text, validate=True).decode("ascii"), strict_parsing=True)
        [place], backwards = fields.pop("p"), fields.pop("r", ["0"])
        if fields or backwards not in (["0"], ["1"]):
            raise ValueError(text)
    except (KeyError, ValueError) as error:
        raise ValueError(NO_CURSOR) from error
    return Cursor(place, backwards == ["1"])


def ordering_of(request: Asking, orderings: Mapping[str, Ordering]) -> Ordering:
    """The one that `ordering` names; the first without it."""
    return orderings[request.parameters["ordering"]]


def page(
    request: Asking,
    rows: QuerySet[Any, Any],
    *,
    order: Ordering = NEWEST,
    shape: Callable[[Any], dict[str, Any]],
) -> Answer:
    """One page of `rows` in this order; `shape` makes what the client sees.

    By `cursor`, as deep as you like; or by `offset` where that is sent. With a count by offset, and where `count` asks
    for it.
    A cursor holds all columns of the order. The library's own know the first, count how many rows are equal in that,
    and repeat a page for ever beyond a thousand.
    """
    if "offset" in request.parameters:
        return offset_page(request, rows, order=order, shape=shape)
    columns = _columns(order)

    def read(place: str | None, backwards: bool, limit: int) -> tuple[list[Placed], bool]:
        found = rows.order_by(*order)
        if backwards:
            found = found.reverse()
        if place is not None:
            found = found.filter(_beyond(rows, columns, place, down=order[0].startswith("-") != backwards))
        fitting, more = _fitting(found, 0, limit)
        return [(_place(row, columns), row) for row in fitting], more

    try:
        with transaction.atomic():  # a cursor that the database refuses must not end the request's transaction
            return _cursor_page(request, read, lambda row: written(shape(row)), rows)
    except DataError as error:
        raise _no_cursor() from error


def _columns(order: Ordering) -> list[str]:
    return [column.removeprefix("-") for column in order]


def _place(row: Any, columns: Sequence[str]) -> str:  # noqa: ANN401 - any row
    """Where a row stands: its one column as a text, as keyset_page has it, or all of them."""
    if len(columns) == 1:
        return str(getattr(row, columns[0]))
    return dumps([getattr(row, column) for column in columns], default=str).decode()


def _beyond(rows: QuerySet[Any, Any], columns: Sequence[str], place: str, *, down: bool) -> Lookup:
    """What comes after this place, as one comparison of rows, which an index over these columns answers."""
    try:
        given = [place] if len(columns) == 1 and not place.startswith("[") else loads(place)
        values = [_field(rows, column).to_python(value) for column, value in zip(columns, given, strict=True)]
    except (TypeError, ValueError, ValidationFailed) as error:
        raise _no_cursor() from error
    return (TupleLessThan if down else TupleGreaterThan)(Tuple(*map(F, columns)), values)


def _field(rows: QuerySet[Any, Any], column: str) -> "Field[Any, Any]":
    computed = rows.query.annotations.get(column)
    return computed.output_field if computed else rows.model._meta.get_field(column)


def _fitting(rows: QuerySet[Any, Any], offset: int, limit: int) -> tuple[list[Any], bool]:
    """So many rows from this one on, or as many as a page has room for, and whether there are further ones.

    The database adds up the lengths of the rows as text and leaves out what is too much, so that it is never sent here.
    """
    compiler: Any = rows[offset : offset + limit + 1].query.get_compiler(rows.db)
    try:
        statement, parameters = compiler.as_sql()
    except EmptyResultSet:
        return [], False
    columns = ", ".join(f'"{alias or column.target.column}"' for column, _, alias in compiler.select)
    sized = SQL["sized"].replace("{rows}", statement).replace("{columns}", columns)
    found = list(rows.model._default_manager.raw(sized, [MAX_PAGE_BYTES, *parameters, MAX_PAGE_BYTES]))
    fitting = [row for number, row in enumerate(found[:limit]) if number == 0 or not row.page_is_full]
    return fitting, len(fitting) < len(found)


def _cut(rows: Sequence[bytes]) -> list[bytes]:
    """Those of these rows, in JSON, that a page has room for: at least one, where there is one."""
    size = 0
    for number, row in enumerate(rows):
        size += len(row) + 1
        if number and size > MAX_PAGE_BYTES:
            return list(rows[:number])
    return list(rows)


def _array(rows: Sequence[bytes]) -> Fragment:
    return Fragment(b"[" + b",".join(rows) + b"]")


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a list that a page shows: so many after a place, or before it (`backwards`)."""

    place: str | None
    backwards: bool
    limit: int

    @property
    def key(self) -> UUID | None:
        """The place in a list by key. Raises ValidationError."""
        return None if self.place is None else _key(self.place)


def part_of(request: Asking) -> Part:
    """What `limit` and `cursor` ask for."""
    limit, cursor = request.parameters["limit"], request.parameters.get("cursor")
    return Part(cursor.place, cursor.backwards, limit) if cursor else Part(None, False, limit)


def part_page(
    request: Asking,
    part: Part,
    shown: Any,  # noqa: ANN401 - JSON
    first: str | None,
    last: str | None,
    more: bool,
    rows: QuerySet[Any, Any] | None = None,
) -> Answer:
    """A page of this part: what is shown, the places of its first and last row, and whether there is more.

    `rows` are counted where the request's `count` asks for that.
    """
    after = last if more or part.backwards else None
    before = first if (more if part.backwards else part.place) else None
    body = {"next": _at(request, after), "previous": _at(request, before, backwards=True), "results": shown}
    kind = request.parameters.get("count")
    return Answer(body) if kind is None or rows is None else _counted(body, *_count(rows, kind))


def _counted(body: dict[str, Any], count: int, is_exact: bool) -> Answer:
    return Answer({"count": count, **body}, headers={} if is_exact else {"X-Count": ESTIMATED})


def _at(request: Request, place: str | None, *, backwards: bool = False) -> str | None:
    """This list at a place of it, with a cursor as the library makes them."""
    if place is None:
        return None
    cursor = b64encode(f"{'r=1&' if backwards else ''}p={quote_plus(place)}".encode()).decode().translate(QUOTED)
    address = _url(request, {}, leave=("cursor", "offset"))
    return f"{address}{'&' if '?' in address else '?'}cursor={cursor}"


def keyset_page(request: Asking, older: Read, newer: Read, rows: QuerySet[Any, Any]) -> Answer:
    """One page of statements' rows, newest first, by the same `limit`, `cursor` and `count` (of `rows`) as `page`.

    `older` and `newer` take a key (None: from the newest on) and how many rows, and give these and whether there are
    more; each row has its `key`, and is `shown`. They leave out what a page has no room for, but for the first of that.
    """

    def read(place: str | None, backwards: bool, limit: int) -> tuple[list[Placed], bool]:
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


def _cursor_page(request: Asking, read: ReadPlaced, shape: Callable[[Any], bytes], rows: QuerySet[Any, Any]) -> Answer:
    part = part_of(request)
    found, more = read(part.place, part.backwards, part.limit)
    shown = _cut([shape(row) for _, row in found])
    more = more or len(shown) < len(found)
    places = [place for place, _ in found[: len(shown)]]
    if part.backwards:
        shown.reverse()
        places.reverse()
    first, last = (places[0], places[-1]) if places else (None, None)
    return part_page(request, part, _array(shown), first, last, more, rows)


def offset_page(
    request: Asking,
    rows: QuerySet[Any, Any],
    *,
    order: Ordering = NEWEST,
    shape: Callable[[Any], dict[str, Any]],
) -> Answer:
    """The page that `limit` and `offset` name, with a count; by `cursor` where that is sent, see `page`.

    Where the next page would begin further down than an offset may, `next` goes on by cursor.
    """
    refuse_both(request, "cursor", "offset")
    if "cursor" in request.parameters:
        return page(request, rows, order=order, shape=shape)
    limit, offset = request.parameters["limit"], request.parameters.get("offset", 0)
    rows = rows.order_by(*order)
    count, is_exact = _count(rows, request.parameters.get("count", ESTIMATED))
    found, more = _fitting(rows, offset, limit)
    shown = _cut([written(shape(row)) for row in found])
    after, more = offset + len(shown), more or len(shown) < len(found)
    if more and after > LARGEST_OFFSET:
        following = _at(request, _place(found[len(shown) - 1], _columns(order)))
    else:
        following = _url(request, {"limit": limit, "offset": after}) if more else None
    before = _before(offset, limit, count, bool(shown))
    body = {
        "next": following,
        "previous": None if before is None else _url(request, {"limit": limit, "offset": before}),
        "results": _array(shown),
    }
    return _counted(body, count, is_exact)


def numbered_page(
    request: Asking, rows: QuerySet[Any, Any], *, shape: Callable[[Any], dict[str, Any]]
) -> dict[str, Any]:
    """{"count", "next", "previous", "results"} by `page`, or by `skip`; `limit` (10, at most 1,000) rows a page.

    After a page that ends by its bytes, `next` goes on by `skip`.
    """
    refuse_both(request, "page", "skip")
    asked = request.parameters
    limit, number, skip = asked["limit"], asked["page"], asked.get("skip")
    offset = (number - 1) * limit if skip is None else skip
    count = rows.count()
    found, more = _fitting(rows, offset, limit)
    shown = _cut([written(shape(row)) for row in found])
    more = more or len(shown) < len(found)
    if skip is None and (len(shown) == limit or not more):
        following, before = {"page": number + 1}, min(number - 1, -(-count // limit))
        previous = {"page": before} if before else None
    else:
        following, place = {"skip": offset + len(shown)}, _before(offset, limit, count, bool(shown))
        previous = None if place is None else {"skip": place}
    return {
        "count": count,
        "next": _url(request, following, leave=("page", "skip")) if more else None,
        "previous": _url(request, previous, leave=("page", "skip")) if previous else None,
        "results": _array(shown),
    }


def _before(offset: int, limit: int, count: int, there_are_rows: bool) -> int | None:
    """Where the page before this one begins, which has rows; None where there is none."""
    if not offset or not (count or there_are_rows):
        return None
    return max((offset if there_are_rows else min(offset, count)) - limit, 0)


def page_limits(limit: int) -> dict[str, int]:
    """What ends a page, as statements call it: so many rows, or so many bytes."""
    return {"limit": limit, "bytes": MAX_PAGE_BYTES}


def refuse_both(request: Asking, one: str, other: str) -> None:
    """Raises ValidationError where a request has two parameters of which each says where the page begins."""
    if all(request._request.GET.get(name) for name in (one, other)):
        raise ValidationError({other: [f"Send either {one} or {other}, not both."]})


def _count(rows: QuerySet[Any, Any], kind: str) -> tuple[int, bool]:
    """How many rows there are, and whether that is exact: beyond 10,000 the planner's estimate does for ESTIMATED."""
    if kind == EXACT:
        return rows.order_by().count(), True
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
    """The rows of a list that a page shows: so many, from the one of this number on; or from a `_start`."""

    limit: int
    offset: int
    by_start: bool = False

    @property
    def number(self) -> int:
        """Which page it is, where it is a whole one."""
        return self.offset // self.limit + 1


def stretch_of(request: Asking) -> Stretch:
    """What `_page`, or `_start`, and `_limit` ask for, at most 1,000 rows unless `_limit` says otherwise.

    Raises ValidationError for both `_page` and `_start`.
    """
    refuse_both(request, "_page", "_start")
    start, limit = request.parameters.get("_start"), request.parameters["_limit"]
    if start is not None:
        return Stretch(limit, start, by_start=True)
    return Stretch(limit, (request.parameters["_page"] - 1) * limit)


def array_page(request: Asking, stretch: Stretch, count: Callable[[], int], missing: str | None = None) -> Answer:
    """A page of rows as a bare array: what was read is the array, how many are in it, and whether there are more.

    The headers tell how many rows there are (`count`, where the page does not tell) and where other pages lie. A page
    that ends by its bytes, and those after it, go on by `_start`. Raises NotFound, which says what is `missing`, where
    nothing was read.
    """
    if request.found is None:
        raise errors.NotFound(missing)
    shown, found, more = request.found
    after = stretch.offset + found
    total = count() if more or (not found and stretch.offset) else after
    response = Answer(Fragment(shown))
    response["X-Total-Count"] = str(total)
    is_cut = more and found < stretch.limit
    if stretch.by_start or is_cut:
        links = _start_links(stretch, after if more else None)
    else:
        links = _numbered_links(stretch, total, more)
    if links:
        address, _, rest = _url(request, {"_limit": stretch.limit}, leave=("_page", "_start")).partition("?")
        response["Link"] = ", ".join(f'<{address}?{place}&{rest}>; rel="{name}"' for name, place in links.items())
    return response


def _numbered_links(stretch: Stretch, total: int, more: bool) -> dict[str, str]:
    """Other pages by their numbers; none where there is but one."""
    number = stretch.number
    last = max(1, -(-total // stretch.limit), number + more)
    pages = {"first": 1, "prev": number - 1, **({"next": number + 1} if more else {}), "last": last}
    return {name: f"_page={one}" for name, one in pages.items() if 1 <= one <= last} if last > 1 else {}


def _start_links(stretch: Stretch, after: int | None) -> dict[str, str]:
    """Other pages by where they begin; None: there is none after this."""
    before = {"prev": f"_start={max(stretch.offset - stretch.limit, 0)}"} if stretch.offset else {}
    return {"first": "_page=1", **before, **({} if after is None else {"next": f"_start={after}"})}


def _url(request: Request, change: Mapping[str, int], *, leave: Collection[str] = ()) -> str:
    """This very address, filters included, at another place of the list; without the parameters that are to be left."""
    kept = {name: texts for name, texts in request.query_params.lists() if name not in leave}
    parameters = kept | {name: [str(value)] for name, value in change.items()}
    address = request.build_absolute_uri(request.path)
    return f"{address}?{urlencode(parameters, doseq=True)}" if parameters else address
