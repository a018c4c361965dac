"""Fixtures of the shop's tests."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from backend.shop.models import Product
from tests.support import Cast

MakeProduct = Callable[..., Product]


@pytest.fixture
def product(cast: Cast) -> MakeProduct:
    """Makes a product of the owner; by default 10 units at 2.50."""

    def make(name: str = "a thing", **columns: object) -> Product:
        values = {"owner": cast.owner.user, "price": Decimal("2.50"), "stock": 10} | columns
        made = Product.objects.create(name=name, **values)
        made.refresh_from_db()
        return made

    return make
