"""Pagination: by cursor or by offset, or as a bare array like JSONPlaceholder (`_page`, `_limit`, `Link`).

A page ends after `limit` rows, or before it would exceed MAX_PAGE_BYTES, and has at least one row; the database returns
no more than that. One row more is read to find out whether there is a next page: a count is never used for it.
"""

from lockstep.rest.paging.array import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Counted,
    PageParams,
    array_page,
    parse_page_params,
)
from lockstep.rest.paging.cursor import (
    BY_TIME,
    DEFAULT_CURSOR_LIMIT,
    MAX_CURSOR_LIMIT,
    NEWEST,
    Cursor,
    CursorParams,
    Ordering,
    cursor_response,
    keyset_page,
    ordering_of,
    parse_cursor_params,
    read_cursor,
)
from lockstep.rest.paging.limits import ESTIMATED, EXACT, MAX_PAGE_BYTES, page_limits, refuse_both
from lockstep.rest.paging.offset import MAX_OFFSET, MAX_PAGE, NUMBERED_SIZE, numbered_page, offset_page, page

__all__ = [
    "BY_TIME",
    "DEFAULT_CURSOR_LIMIT",
    "DEFAULT_LIMIT",
    "ESTIMATED",
    "EXACT",
    "MAX_CURSOR_LIMIT",
    "MAX_LIMIT",
    "MAX_OFFSET",
    "MAX_PAGE",
    "MAX_PAGE_BYTES",
    "NEWEST",
    "NUMBERED_SIZE",
    "Counted",
    "Cursor",
    "CursorParams",
    "Ordering",
    "PageParams",
    "array_page",
    "cursor_response",
    "keyset_page",
    "numbered_page",
    "offset_page",
    "ordering_of",
    "page",
    "page_limits",
    "parse_cursor_params",
    "parse_page_params",
    "read_cursor",
    "refuse_both",
]
