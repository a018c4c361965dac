"""Pages: of a bare array, as JSONPlaceholder gives them (`_page`, `_limit`, `Link`, `X-Total-Count`), and by cursor."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError as ValidationFailed
from django.db import DataError, transaction
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from lockstep.api.statements import Row

UNASKED_LIMIT = 1_000
LARGEST_LIMIT = 10_000
LARGEST_PAGE = 10**9
QUICKLY_COUNTED, REMEMBERED_SECONDS = 10_000, 1.0


class CursorPage(CursorPagination):
    """{"next", "previous", "results"}: newest first, `limit` (50, at most 500) a page, as deep as you like."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    invalid_cursor_message = "The cursor is not one of ours. Take it from `next` or `previous`."


def cursor_page(
    request: Request, rows: QuerySet[Any, Any], *, order: str, shape: Callable[[Any], dict[str, Any]]
) -> Response:
    """One page of `rows` in this order, a column that is unique; `shape` makes each row what the client sees."""
    pages = CursorPage()
    pages.ordering = (order,)
    try:
        with transaction.atomic():  # a cursor that the database refuses must not end the request's transaction
            page = pages.paginate_queryset(rows, request)
    except (ValueError, TypeError, ValidationFailed, DataError) as error:
        raise NotFound(CursorPage.invalid_cursor_message) from error
    return pages.get_paginated_response([shape(row) for row in page or ()])


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


def array_page(request: Request, read: Callable[[int, int], list[Row]], count: Callable[[], int]) -> Response:
    """The page that `_page` and `_limit` ask for, at most 1,000 rows unless `_limit` says otherwise.

    `read` takes limit and offset. The headers tell how many rows there are (`count`, where the page does not tell)
    and where the first, previous, next and last pages lie.
    """
    page = _positive(request, "_page", 1, LARGEST_PAGE)
    limit = _positive(request, "_limit", UNASKED_LIMIT, LARGEST_LIMIT)
    found = read(limit, (page - 1) * limit)
    is_last = len(found) < limit and (found or page == 1)
    total = (page - 1) * limit + len(found) if is_last else count()
    response = Response(found)
    response["X-Total-Count"] = str(total)
    last = max(1, -(-total // limit))
    if last > 1:
        pages = {"first": 1, "prev": page - 1, "next": page + 1, "last": last}
        response["Link"] = ", ".join(
            f'<{_page_url(request, number, limit)}>; rel="{relation}"'
            for relation, number in pages.items()
            if 1 <= number <= last
        )
    return response


def _positive(request: Request, name: str, default: int, largest: int) -> int:
    given = request.query_params.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 20 and 1 <= int(given) <= largest):
        raise ValidationError({name: [f"A whole number from 1 to {largest:,}."]})
    return int(given)


def _page_url(request: Request, page: int, limit: int) -> str:
    return f"{request.build_absolute_uri(request.path)}?{urlencode({'_page': page, '_limit': limit})}"
