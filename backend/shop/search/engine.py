"""Product search: an interface, and its implementation with PostgreSQL.

SHOP_SEARCH can name another engine: a class with the same interface, whose index a subscriber maintains.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.search import SearchQuery
from django.db.models import BooleanField, F, Func, Model, QuerySet
from django.utils.module_loading import import_string

from backend.shop.search.models import SearchEntry
from lockstep.rest.fastpath import fetch_all
from lockstep.sql import statements

SQL = statements(__file__, "search")
Products = TypeVar("Products", bound=QuerySet[Model])
M = TypeVar("M", bound=Model)
MAX_WORDS = 8
NEAR, FURTHER = 1_000, 15  # entries that are scanned first; the factor of the second scan


@dataclass(frozen=True)
class Direction:
    """The direction of a page through the keys."""

    order: str
    beyond: str
    up_to: str

    def after(self, rows: QuerySet[M], place: UUID | None) -> QuerySet[M]:
        """The rows after this key; None is before the first."""
        return rows if place is None else rows.filter(**{self.beyond: place})

    def keys(self, rows: QuerySet[Model], limit: int) -> list[UUID]:
        """The first `limit` keys."""
        return list(rows.order_by(self.order).values_list("pk", flat=True)[:limit])


OLDER, NEWER = Direction("-pk", "pk__lt", "pk__gte"), Direction("pk", "pk__gt", "pk__lte")


class SearchEngine(ABC):
    """Finds products by words."""

    @abstractmethod
    def narrow(self, products: Products, text: str) -> Products:
        """The products with all words of the text in their name, description or tags.

        The last word may be incomplete, and words may be misspelt.
        """

    def page(self, products: Products, text: str, direction: Direction, place: UUID | None, limit: int) -> list[UUID]:
        """The keys of up to `limit` matching products, in this direction from this key."""
        return direction.keys(direction.after(self.narrow(products, text), place), limit)


class PostgresSearch(SearchEngine):
    """Search in the database: committed products are found at once."""

    def narrow(self, products: Products, text: str) -> Products:
        """Filters by the index."""
        query = _query(text)
        return products.filter(pk__in=_by_index(query).values("pk")) if query else products.none()

    def page(self, products: Products, text: str, direction: Direction, place: UUID | None, limit: int) -> list[UUID]:
        """Scans the entries next to `place` first, and then uses the index for all matches.

        The planner would do only one of these, by its estimate of the frequency of the words: sorting every tenth
        product takes long, and so does scanning all products for a word that only the oldest have.
        """
        query = _query(text)
        if query is None:
            return []
        found: list[UUID] = []
        for number in (NEAR, NEAR * FURTHER):
            entries, edge = _slice(direction, place, number)
            near = entries.filter(_matches(query)).values("pk")
            found += direction.keys(products.filter(pk__in=near), limit - len(found))
            if edge is None or len(found) == limit:
                return found
            place = edge
            if len(found) * FURTHER < limit:
                break  # too rare for a second scan to be enough
        far = direction.after(_by_index(query), place)
        return found + direction.keys(products.filter(_is_one_of(far)), limit - len(found))


def _query(text: str) -> SearchQuery | None:
    """The text as a tsquery; a literal in the next statement, so that its plan depends on the words."""
    [parsed] = fetch_all(SQL["parse_query"], [text, MAX_WORDS])
    return SearchQuery(parsed["query"], search_type="raw", config="simple") if parsed["query"] else None


def _slice(direction: Direction, place: UUID | None, number: int) -> tuple[QuerySet[SearchEntry], UUID | None]:
    """The next `number` entries in this direction, and the key of the last one; None if these are all."""
    entries = direction.after(SearchEntry.objects.all(), place)
    edge = entries.order_by(direction.order).values_list("pk", flat=True)[number:].first()
    return (entries if edge is None else entries.filter(**{direction.up_to: edge})), edge


def _by_index(query: SearchQuery) -> QuerySet[SearchEntry]:
    return SearchEntry.objects.filter(document=query)


def _matches(query: SearchQuery) -> Func:
    """The match by a function, without the index: for a common word reading the index takes longer than the rows."""
    return Func(F("document"), query, function="ts_match_vq", output_field=BooleanField())


def _is_one_of(entries: QuerySet[SearchEntry]) -> Func:
    """The condition that a product is one of these entries, which are all found first; IN might look up each one."""
    keys = ArraySubquery(entries.values("pk"))
    return Func(F("pk"), keys, template="%(expressions)s)", arg_joiner=" = ANY (", output_field=BooleanField())


@cache
def search_engine() -> SearchEngine:
    """The engine that SHOP_SEARCH names."""
    engine: SearchEngine = import_string(settings.SHOP_SEARCH)()
    return engine
