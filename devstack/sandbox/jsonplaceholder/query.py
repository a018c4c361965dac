"""Lists: json-server's filters and paging, quirks included.

Filters are equality only. Its operators (`_like`, `_gte`, `q` and their kind), sorting and embedding are left
out, and answered with 400 rather than ignored.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import orjson

from devstack.sandbox.jsonplaceholder.server_variants import Variant, as_number, as_text
from devstack.sandbox.jsonplaceholder.store import Store

_LEFT_OUT = re.compile(r"_sort|_order|_embed|_expand|q|.*_(like|gte|lte|ne)")
_WHOLE_NUMBER = re.compile(r"\s*([+-]?\d+)", re.ASCII)


class NotImitated(ValueError):
    """The stand-in does not imitate this."""


@dataclass
class Listing:
    """A list to be sent: the elements' texts in pages, and the headers that paging adds."""

    pages: Iterator[list[bytes]]
    headers: dict[str, str] = field(default_factory=dict)


def listing(store: Store, variant: Variant, collection: str, query: str, url: str) -> Listing:
    """The list that `url` asks for with this query string. Raises NotImitated."""
    parameters = parse_qs(query, keep_blank_values=True)
    wanted = {name: parameters[name][0] for name in parameters if name.startswith("_") and parameters[name][0]}
    filters = {name.removesuffix("[]"): parameters[name] for name in parameters if not name.startswith("_")}
    for name in parameters:
        if _LEFT_OUT.fullmatch(name):
            raise NotImitated(f"{name} is not imitated")
    known = {name: values for name, values in filters.items() if store.has_field(collection, name)}
    if not known:
        return _unfiltered(store, collection, wanted, url)
    rows = [row for page in _filtered(store, variant, collection, known) for row in page]
    window, headers = paging(len(rows), wanted, url)
    return Listing(iter([rows[window.start : window.stop]]), headers)


def paging(total: int, wanted: dict[str, str], url: str) -> tuple[range, dict[str, str]]:
    """Which of `total` places are sent, and the headers that go with them."""
    if not wanted.keys() & {"_page", "_end", "_limit"}:
        return range(total), {}
    exposed = "X-Total-Count, Link" if "_page" in wanted else "X-Total-Count"
    headers = {"X-Total-Count": str(total), "Access-Control-Expose-Headers": exposed}
    if "_page" in wanted:
        page = max(_whole(wanted["_page"]) or 1, 1)
        size = _whole(wanted.get("_limit", "")) or 10
        window = range(total)[(page - 1) * size : page * size]
        return window, {**headers, "Link": _links(total, page, size, len(window), url)}
    start = _whole(wanted.get("_start", "")) or 0
    bound = "_end" if "_end" in wanted else "_limit"
    number = _whole(wanted[bound])
    if number is None:
        return range(0), headers
    return range(total)[start : number if bound == "_end" else start + number], headers


def _unfiltered(store: Store, collection: str, wanted: dict[str, str], url: str) -> Listing:
    window, headers = paging(store.count(collection), wanted, url)
    if len(window) == 0:
        return Listing(iter(()), headers)
    return Listing(store.documents(collection, start=window.start, stop=window.stop), headers)


def _filtered(store: Store, variant: Variant, collection: str, filters: dict[str, list[str]]) -> Iterator[list[bytes]]:
    """Filters row by row, over as few as an index and a glance at the text leave."""
    single = {name: values[0] for name, values in filters.items() if len(values) == 1}
    parent = single.get("postId") if collection == "comments" else None
    longest = "" if variant.reads_numbers else max(single.values(), key=len, default="")
    for page in store.documents(collection, parent=parent, text=longest):
        yield [text for text in page if _passes(text, variant, filters)]


def _passes(text: bytes, variant: Variant, filters: dict[str, list[str]]) -> bool:
    document = orjson.loads(text)
    return all(
        name in document and as_text(document[name]) in _readings(values, variant) for name, values in filters.items()
    )


def _readings(values: list[str], variant: Variant) -> list[str | None]:
    return [as_text(as_number(value)) for value in values] if variant.reads_numbers else list(values)


def _links(total: int, page: int, size: int, sent: int, url: str) -> str:
    """The Link header. Theirs rewrites the first `page=` of the URL, wherever that stands; so do we."""
    if sent in (0, total):
        return ""
    pages = {"first": 1}
    if page > 1:
        pages["prev"] = page - 1
    if page * size < total:
        pages["next"] = page + 1
    pages["last"] = -(-total // size)
    return ", ".join(
        f'<{url.replace(f"page={page}", f"page={other}", 1)}>; rel="{name}"' for name, other in pages.items()
    )


def _whole(text: str) -> int | None:
    """The number that a text begins with, as JavaScript's parseInt."""
    found = _WHOLE_NUMBER.match(text)
    return int(found[1]) if found else None
