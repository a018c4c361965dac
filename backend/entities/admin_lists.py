"""Lists of the admin that cost the same in a table of a million rows: what they count, and where they search, ends."""

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

MAX_PAGED = 10_000  # objects that are paged through
MAX_SEARCHED = 20_000  # newest objects among which texts are searched for


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # it takes none at run time
    """Pages through the first MAX_PAGED objects. `is_cut`: there are more."""

    object_list: QuerySet[Any]

    @cached_property
    def counted(self) -> int:
        """How many objects there are, at most one more than are paged through."""
        return int(self.object_list.order_by()[: MAX_PAGED + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self.counted, MAX_PAGED)

    @property
    def is_cut(self) -> bool:
        return self.counted > MAX_PAGED


class BoundedListAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """A mixin: a list that neither counts nor searches the whole table. Keys are in the order of creation."""

    paginator = BoundedPaginator
    change_list_template = "admin/entity/change_list.html"
    search_help_text = f"Searches the newest {MAX_SEARCHED:,}; a whole number finds any object that has one."
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The object with this number; without one those among the newest that have all the words."""
        if not search_term:
            return queryset, False
        numbered = self._with_number(queryset, search_term)
        if numbered is not None and numbered.exists():
            return numbered, False
        # A key and no subquery: PostgreSQL knows from its statistics how few rows come after it.
        keys = self.model._base_manager.order_by("-pk").values_list("pk", flat=True)
        first = keys[MAX_SEARCHED - 1 : MAX_SEARCHED].first()
        newest = queryset if first is None else queryset.filter(pk__gte=first)
        return super().get_search_results(request, newest, search_term)

    def _with_number(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any] | None:
        """The objects with this number; None for a text that is none or too large, and for a model without numbers."""
        try:
            self.opts.get_field("number")
            return queryset.filter(number=int(text)) if text.isascii() and text.isdecimal() and len(text) < 19 else None
        except FieldDoesNotExist:
            return None
