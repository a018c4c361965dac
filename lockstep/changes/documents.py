"""Documents of the change log as clients see them: the same value looks as it does in every other answer."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from django.apps import apps
from django.db import models


def shown_document(model: str, document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A captured row of a model, by its label, with decimal numbers as strings and all their places; None is none.

    In the log they are numbers of JSON, of which `249.90` is `249.9`.
    """
    if document is None:
        return None
    places = _places(model)
    return {name: _decimal(value, places[name]) if name in places else value for name, value in document.items()}


def _decimal(value: object, places: int) -> object:
    return f"{Decimal(str(value)):.{places}f}" if isinstance(value, (int, float)) else value


@cache
def _places(label: str) -> Mapping[str, int]:
    """The decimal columns of a model, and how many places each has. A model may have been removed since."""
    try:
        fields = apps.get_model(label)._meta.concrete_fields
    except LookupError:
        return {}
    return {
        field.column: field.decimal_places or 0
        for field in fields
        if isinstance(field, models.DecimalField) and field.column is not None
    }
