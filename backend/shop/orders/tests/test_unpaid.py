"""Unpaid orders: how many, and how much stock, one user may hold without paying."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connections

from backend.shop.conftest import MakeProduct
from backend.shop.models import Order, Product
from backend.shop.orders.actions import Line, place_order, release_stock
from backend.shop.payments.actions import confirm_order
from lockstep.rest.errors import DomainError
from tests.support import Cast, Person, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

ORDERS, BAG = "/api/v1/orders/", "/api/v1/bag/"


def order(person: Person, product: Product, quantity: int = 1) -> Any:
    return person.post(ORDERS, {"lines": [{"product": str(product.pk), "quantity": quantity}]})


def test_unpaid_orders_are_limited_in_number(cast: Cast, product: MakeProduct, settings: Any):
    settings.UNPAID_ORDERS_PER_USER = 2
    bread = product("bread")
    first, second = (order(cast.colleague, bread).json() for _ in range(2))
    declined = order(cast.colleague, bread)
    assert (declined.status_code, declined.json()["type"]) == (409, "/problems/conflict")
    assert declined.json()["detail"].startswith("Your unpaid orders may be at most 2 orders together.")
    assert order(cast.outsider, bread).status_code == 201
    confirm_order(actor="", order=Order.objects.get(pk=first["id"]), token="tok_1")
    assert order(cast.colleague, bread).status_code == 409, "a confirmed order is not paid yet"
    cast.colleague.post(f"{ORDERS}{second['id']}/cancel/", {})
    assert order(cast.colleague, bread).status_code == 201
    assert Product.objects.get().stock == 10 - 3


def test_unpaid_orders_are_limited_in_units(cast: Cast, product: MakeProduct, settings: Any):
    settings.UNPAID_UNITS_PER_USER = 5
    bread, milk = product("bread"), product("milk")
    body = {"lines": [{"product": str(one.pk), "quantity": 2} for one in (bread, milk)]}
    assert cast.colleague.post(ORDERS, body).status_code == 201
    declined = order(cast.colleague, bread, 2)
    assert declined.status_code == 409
    assert "at most 5 units together" in declined.json()["detail"]
    assert order(cast.colleague, bread, 1).status_code == 201


def test_bag_stays_where_its_order_would_pass_the_limit(cast: Cast, product: MakeProduct, settings: Any):
    settings.UNPAID_ORDERS_PER_USER = 1
    bread = product("bread")
    order(cast.colleague, bread)
    cast.colleague.put(f"{BAG}items/{bread.pk}/", {"quantity": 1})
    assert cast.colleague.post(f"{BAG}order/", {}).status_code == 409
    assert len(cast.colleague.get(BAG).json()["lines"]) == 1


def test_insufficient_stock_is_reported_before_the_limit(cast: Cast, product: MakeProduct, settings: Any):
    settings.UNPAID_ORDERS_PER_USER = 1
    bread = product("bread", stock=1)
    order(cast.colleague, bread)
    assert order(cast.colleague, bread).json()["type"] == "/problems/insufficient-stock"


def test_final_orders_do_not_count_as_unpaid(cast: Cast, product: MakeProduct, settings: Any):
    settings.UNPAID_ORDERS_PER_USER = 1
    bread = product("bread")
    for _ in range(2):
        place_order(actor="", buyer=cast.colleague.user, lines=[Line(bread.pk, 1)], final=True)
    assert order(cast.colleague, bread).status_code == 201


def placing(cast: Cast, product: Product) -> Callable[[], str]:
    def place() -> str:
        try:
            place_order(actor="", buyer=cast.colleague.user, lines=[Line(product.pk, 1)])
        except DomainError as error:
            return type(error).__name__
        else:
            return "placed"
        finally:
            connections.close_all()

    return place


@pytest.mark.django_db(transaction=True)
def test_the_limit_counts_concurrent_orders(
    cast: Cast, product: MakeProduct, settings: Any, database: psycopg.Connection
):
    """The second order waits for the first one, of another product, and counts it although it began earlier."""
    settings.UNPAID_ORDERS_PER_USER = 1
    bread, buyer = product("bread"), cast.colleague.user.pk
    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("SELECT shop_unpaid_excess(%s, 1, 9, 9)", [buyer])
            second = pool.submit(placing(cast, bread))
            eventually(lambda: any_lock_waiter(database))
            database.execute("INSERT INTO shop_order (buyer_id, lines, total) VALUES (%s, '[]', 1)", [buyer])
        assert second.result() == "TooManyUnpaid"
    assert Product.objects.get().stock == 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rounds", [1, pytest.param(100, marks=[pytest.mark.faults, pytest.mark.timeout(3_600)])])
def test_limit_holds_for_many_orders_at_once(cast: Cast, product: MakeProduct, settings: Any, rounds: int):
    settings.UNPAID_ORDERS_PER_USER = 5
    things = [product(f"thing {n}", stock=1_000_000) for n in range(8)]
    for _ in range(rounds):
        with ThreadPoolExecutor(8) as pool:
            outcomes = Counter(one.result() for one in [pool.submit(placing(cast, thing)) for thing in things * 2])
        assert outcomes == {"placed": 5, "TooManyUnpaid": 11}
        release_stock("cancel", list(Order.objects.filter(state="PENDING_CONFIRMATION").values_list("pk", flat=True)))
