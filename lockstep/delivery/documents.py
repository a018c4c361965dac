"""Documents of the change log as clients get them: values are formatted as in every other response."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache

from django.apps import apps
from django.db import models

from lockstep.changes.capture import Document


def shown_document(model: str, document: Document | None) -> Document | None:
    """A captured row of a model, by its label, with decimals as strings with all their places; None for None.

    Old rows of the log have them as JSON numbers, where `249.90` is `249.9`.
    """
    if document is None:
        return None
    places = _places(model)
    return {name: _decimal(value, places[name]) if name in places else value for name, value in document.items()}


def _decimal(value: object, places: int) -> object:
    return f"{Decimal(str(value)):.{places}f}" if isinstance(value, (int, float)) else value


@cache
def _places(label: str) -> Mapping[str, int]:
    """The decimal columns of a model with their decimal places. Empty for a model that was removed."""
    try:
        fields = apps.get_model(label)._meta.concrete_fields
    except LookupError:
        return {}
    return {
        field.column: field.decimal_places or 0
        for field in fields
        if isinstance(field, models.DecimalField) and field.column is not None
    }
