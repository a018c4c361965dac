"""A serializer declares each shape: JSON that the database makes has the same fields in the same order."""

from decimal import Decimal
from typing import Any

import pytest

from backend.shop.catalogue.serializers import ProductSerializer
from backend.shop.conftest import MakeProduct
from backend.shop.models import Order, Product
from backend.shop.orders.serializers import OrderLineSerializer, OrderSerializer, OrderWithHistorySerializer
from lockstep.rest.responses import dumps
from lockstep.rest.serializers import ApiSerializer
from tests.support import Cast

pytestmark = pytest.mark.django_db


def names(shape: type[ApiSerializer]) -> list[str]:
    return list(shape().fields)


def test_product_from_sql_equals_its_representation(cast: Cast, product: MakeProduct):
    made = product("bread", description="with seeds", price=Decimal("2.50"))
    made.refresh_from_db()
    represented = dumps(ProductSerializer.represent(made))
    assert cast.owner.get(f"/api/v1/products/{made.pk}/").content == represented
    assert sorted(cast.owner.get(f"/api/v1/products/{made.pk}/").json()) == sorted(names(ProductSerializer))
    for query in ("", "?search=bread", "?offset=0", "?ordering=price", "?min_price=0"):
        assert represented in cast.owner.get(f"/api/v1/products/{query}").content, query


def test_order_from_sql_equals_its_representation(cast: Cast, product: MakeProduct):
    lines = [{"product": product(name).number, "quantity": 2} for name in ("bread", "milk")]
    placed = cast.colleague.post("/api/v1/orders/", {"lines": lines})
    order = Order.objects.get()
    represented = dumps(OrderSerializer.represent(order))
    assert dumps(placed.json()) == represented
    assert list(placed.json()) == names(OrderSerializer)
    assert represented in cast.colleague.get("/api/v1/orders/").content
    assert {frozenset(line) for line in order.lines} == {frozenset(names(OrderLineSerializer))}


def test_order_has_its_deadline_while_it_can_be_confirmed(cast: Cast, product: MakeProduct):
    cast.colleague.post("/api/v1/orders/", {"lines": [{"product": product().number, "quantity": 1}]})
    order = Order.objects.get()
    assert OrderSerializer.represent(order)["confirm_until"] == order.confirm_until is not None
    cast.colleague.post(f"/api/v1/orders/{order.number}/cancel/", {})
    order.refresh_from_db()
    assert order.confirm_until and OrderSerializer.represent(order)["confirm_until"] is None


def test_history_begins_with_the_first_state(cast: Cast, product: MakeProduct):
    cast.colleague.post("/api/v1/orders/", {"lines": [{"product": product().number, "quantity": 1}]})
    order = Order.objects.get()

    def history() -> list[Any]:
        return [step["state"] for step in OrderWithHistorySerializer.represent(order)["history"]]

    assert history() == ["PENDING_CONFIRMATION"]
    cast.colleague.post(f"/api/v1/orders/{order.number}/cancel/", {})
    order.refresh_from_db()
    assert history() == ["PENDING_CONFIRMATION", "CANCELLED"]


def test_bag_is_represented_in_the_declared_order(cast: Cast, product: MakeProduct):
    bread = product("bread", price=Decimal("2.50"))
    cast.colleague.put(f"/api/v1/bag/items/{bread.number}/", {"quantity": 3})
    assert Product.objects.update(state="OFF_SALE")
    assert cast.colleague.get("/api/v1/bag/").content == b'{"lines":[],"total":"0.00"}'
    Product.objects.update(state="ON_SALE")
    line = f'"product":"{bread.pk}","number":{bread.number},"name":"bread","price":"2.50","quantity":3,"available":10'
    assert cast.colleague.get("/api/v1/bag/").content == f'{{"lines":[{{{line}}}],"total":"7.50"}}'.encode()
