"""Filters of lists: which query parameters narrow a list, and how.

FILTERS = Filters(
    (text("search", "Only defects whose comment contains this text."), DefectQuerySet.saying),
    (key_parameter("user", "Only defects of this user: an id or a number."), "user"),
    (moment("since", "Only defects created at this time or later."), "created__gte"),
)

@extend_schema(parameters=[*FILTERS.parameters, *CURSOR_PAGE], …)
def get(self, request):
    return page(request, FILTERS.apply(request, Defect.objects.alive()), …)
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from lockstep.rest.parameters import QueryParameter
from lockstep.rest.requests import ApiRequest

__all__ = ["Filters"]

Q = TypeVar("Q", bound="QuerySet[Model]")
Narrow = str | Callable[..., Any]  # a look-up of Django, or a method of the query set that takes the value


class Filters:
    """Query parameters, each with the look-up or the method that narrows the list."""

    def __init__(self, *filters: tuple[QueryParameter, Narrow]) -> None:
        self.parameters = [parameter for parameter, _ in filters]
        self._narrow = {parameter.name: narrow for parameter, narrow in filters}

    def apply(self, request: ApiRequest, rows: Q) -> Q:
        """The rows that pass the filters of this request.

        The value of a `key_parameter` is a filter of the related object that its look-up names.
        """
        for name, narrow in self._narrow.items():
            if name not in request.parameters:
                continue
            value = request.parameters[name]
            if callable(narrow):
                rows = narrow(rows, value)
            elif isinstance(value, Mapping):
                rows = rows.filter(**{f"{narrow}__{column}": key for column, key in value.items()})
            else:
                rows = rows.filter(**{narrow: value})
        return rows
