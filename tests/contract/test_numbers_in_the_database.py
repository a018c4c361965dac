"""Columns of numbers refuse NaN and Infinity whatever writes: PostgreSQL sorts NaN above every number."""

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.conf import settings
from django.db import Error, connection, models, transaction
from django.utils import timezone

from backend.movies.models import Movie
from backend.shop.models import Order, Product
from backend.shop.orders.actions import Line, place_order
from backend.shop.payments.actions import confirm_order
from lockstep.console.models import Sample
from tests.support import Cast

pytestmark = pytest.mark.django_db


def columns() -> Iterator[tuple[str, str]]:
    """Every column that may hold a fraction, except generated ones."""
    for label in settings.LOCKSTEP["CAPTURED_APPS"]:
        for model in apps.get_app_config(label).get_models():
            for field in model._meta.local_concrete_fields:
                if isinstance(field, (models.DecimalField, models.FloatField)) and not model._meta.proxy:
                    yield model._meta.db_table, field.column


@pytest.fixture
def row_of_each(cast: Cast) -> None:
    product = Product.objects.create(owner=cast.owner.user, name="thing", price=1, stock=5)
    placed = place_order(actor="", buyer=cast.colleague.user, lines=[Line(product.pk, 1)])
    confirm_order(actor="", order=Order.objects.get(number=placed.number), token="tok_1")
    Movie.objects.create(remote_id=product.pk, title="A title", rating=1.0)
    Sample.objects.create(name="", at=timezone.now(), waiting=0, failing=0, dead=0, lag=0.0)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(("table", "column"), list(columns()))
def test_column_refuses_values_that_are_no_numbers(row_of_each: None, table: str, column: str, value: str):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = 1")
        assert cursor.rowcount > 0
    with pytest.raises(Error), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = %s", [value])
