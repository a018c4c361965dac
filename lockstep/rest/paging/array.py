"""Pages as bare arrays, like JSONPlaceholder's: `_page` or `_start`, `_limit`, and links in a header."""

import time
from collections.abc import Callable
from typing import NamedTuple

from orjson import Fragment

from lockstep.rest.errors import NotFound
from lockstep.rest.fastpath import Values
from lockstep.rest.paging.limits import QUICKLY_COUNTED, refuse_both, url_with
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse

DEFAULT_LIMIT, MAX_LIMIT = 1_000, 10_000
CACHED_SECONDS = 1.0


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


class PageParams(NamedTuple):
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
        raise NotFound(missing)
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
        address, _, rest = url_with(request, {"_limit": params.limit}, leave=("_page", "_start")).partition("?")
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
