"""Search over products: an interface of one method, and PostgreSQL behind it.

Another engine takes its place as a class with the same method, fed by a subscriber, named by SHOP_SEARCH.
"""

import re
from functools import cache
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.contrib.postgres.search import SearchQuery
from django.utils.module_loading import import_string

from lockstep.api.statements import rows
from lockstep.changes.sql_file import load
from lockstep.shop.models import ProductQuerySet, SearchEntry

SQL = load(Path(__file__).parent / "sql" / "search.sql")
WORD = re.compile(r"\w+")
MOST_WORDS = 8
AT_ONCE = 1_000  # products


class SearchEngine(Protocol):
    """Finds products by words."""

    def narrow(self, products: ProductQuerySet, text: str) -> ProductQuerySet:
        """Those that have all words of the text in their name, description or tags.

        The last word may be only begun, and words may be misspelt.
        """
        ...


class PostgresSearch:
    """In the database itself: what was written is found at once."""

    def narrow(self, products: ProductQuerySet, text: str) -> ProductQuerySet:
        """See SearchEngine."""
        words = [word.lower() for word in WORD.findall(text)[:MOST_WORDS]]
        if not words:
            return products.none()
        [asked] = rows(SQL["ask"], [words])
        # As a literal, so that PostgreSQL knows how rare the words are before it decides how to look for them.
        found = SearchEntry.objects.filter(document=SearchQuery(asked["query"], search_type="raw", config="simple"))
        return products.filter(pk__in=found.values("product"))


def learn_words() -> None:
    """Looks through what was written lately for words that misspelt ones may mean: periodic work."""
    while rows(SQL["learn"], [AT_ONCE])[0]["count"] == AT_ONCE:
        pass


@cache
def search_engine() -> SearchEngine:
    """The engine that SHOP_SEARCH names."""
    engine: SearchEngine = import_string(settings.SHOP_SEARCH)()
    return engine
