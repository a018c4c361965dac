"""Search over products: an interface of one method, and PostgreSQL behind it.

Another engine takes its place as a class with the same method, fed by a subscriber, named by SHOP_SEARCH.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.search import SearchQuery
from django.db import connection, transaction
from django.db.models import BooleanField, F, Func, QuerySet
from django.utils.module_loading import import_string

from lockstep.api.statements import rows
from lockstep.changes.sql_file import load
from lockstep.shop.models import ProductQuerySet, SearchEntry

SQL = load(Path(__file__).parent / "sql" / "search.sql")
MOST_WORDS = 8
NEAR, FURTHER = 1_000, 15  # entries that are looked through one by one; so many times as many where that pays
AT_ONCE = 20_000  # products


@dataclass(frozen=True)
class Way:
    """Which way a page goes through the keys."""

    order: str
    beyond: str
    up_to: str

    def after(self, rows: QuerySet[Any, Any], place: UUID | None) -> QuerySet[Any, Any]:
        """Those that come after this place; None is before the first."""
        return rows if place is None else rows.filter(**{self.beyond: place})

    def keys(self, rows: QuerySet[Any, Any], limit: int) -> list[UUID]:
        """The keys of the first so many."""
        return list(rows.order_by(self.order).values_list("pk", flat=True)[:limit])


OLDER, NEWER = Way("-pk", "pk__lt", "pk__gte"), Way("pk", "pk__gt", "pk__lte")


class SearchEngine(ABC):
    """Finds products by words."""

    @abstractmethod
    def narrow(self, products: ProductQuerySet, text: str) -> ProductQuerySet:
        """Those that have all words of the text in their name, description or tags.

        The last word may be only begun, and words may be misspelt.
        """

    def page(self, products: ProductQuerySet, text: str, way: Way, place: UUID | None, limit: int) -> list[UUID]:
        """The keys of so many of them, this way from this place."""
        return way.keys(way.after(self.narrow(products, text), place), limit)


class PostgresSearch(SearchEngine):
    """In the database itself: what was written is found at once."""

    def narrow(self, products: ProductQuerySet, text: str) -> ProductQuerySet:
        """See SearchEngine."""
        query = _query(text)
        return products.filter(pk__in=_by_index(query).values("pk")) if query else products.none()

    def page(self, products: ProductQuerySet, text: str, way: Way, place: UUID | None, limit: int) -> list[UUID]:
        """First among the entries that are near, one by one; then among all that match, by their index.

        The planner would do one or the other for all of it, by how frequent it takes the words to be: to sort every
        tenth product takes long, and so does to go through all products for a word that only the oldest have.
        """
        query = _query(text)
        if query is None:
            return []
        found: list[UUID] = []
        for number in (NEAR, NEAR * FURTHER):
            entries, edge = _stretch(way, place, number)
            near = entries.filter(_matches(query)).values("pk")
            found += way.keys(products.filter(pk__in=near), limit - len(found))
            if edge is None or len(found) == limit:
                return found
            place = edge
            if len(found) * FURTHER < limit:
                break  # so rare that going on is not likely to be enough
        far = way.after(_by_index(query), place)
        return found + way.keys(products.filter(_is_one_of(far)), limit - len(found))


def _query(text: str) -> SearchQuery | None:
    """What the database makes of the text; a literal for the next statement, so that its plan knows the words."""
    [asked] = rows(SQL["ask"], [text, MOST_WORDS])
    return SearchQuery(asked["query"], search_type="raw", config="simple") if asked["query"] else None


def _stretch(way: Way, place: UUID | None, number: int) -> tuple[QuerySet[SearchEntry], UUID | None]:
    """The next so many entries, this way from this place, and the last one's key; without a key they are all."""
    entries = way.after(SearchEntry.objects.all(), place)
    edge = entries.order_by(way.order).values_list("pk", flat=True)[number:].first()
    return (entries if edge is None else entries.filter(**{way.up_to: edge})), edge


def _by_index(query: SearchQuery) -> QuerySet[SearchEntry]:
    return SearchEntry.objects.filter(document=query)


def _matches(query: SearchQuery) -> Func:
    """The same by a function that the index does not know: for a common word the index is read longer than the rows."""
    return Func(F("document"), query, function="ts_match_vq", output_field=BooleanField())


def _is_one_of(entries: QuerySet[SearchEntry]) -> Func:
    """That a product is among these, all of which are looked for first: as IN they might be looked for one by one."""
    keys = ArraySubquery(entries.values("pk"))
    return Func(F("pk"), keys, template="%(expressions)s)", arg_joiner=" = ANY (", output_field=BooleanField())


def learn_words() -> None:
    """Looks through what was written lately for words that misspelt ones may mean: periodic work."""
    while rows(SQL["learn"], [AT_ONCE])[0]["count"] == AT_ONCE:
        pass


def forget_words() -> None:
    """Forgets the words that no product has any more, so that nobody is taken to mean them: periodic work."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SQL["alone"])
        cursor.execute(SQL["forget"])


@cache
def search_engine() -> SearchEngine:
    """The engine that SHOP_SEARCH names."""
    engine: SearchEngine = import_string(settings.SHOP_SEARCH)()
    return engine
