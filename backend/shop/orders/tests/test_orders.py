"""Orders: all or nothing, at the prices of the moment, and never more than there is."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from django.db import connection, connections
from django.db.models import Sum

from backend.shop.catalogue.actions import update_product
from backend.shop.conftest import MakeProduct
from backend.shop.models import Bag, Movement, Order, Product
from backend.shop.orders import actions, bags
from backend.shop.orders.actions import Line, cancel_order, expire_orders, place_order
from lockstep.changes.models import LoggedChange
from lockstep.changes.wakeup import commit_notifier
from lockstep.rest.errors import DomainError
from tests.support import Cast, Person, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

ORDERS, BAG = "/api/v1/orders/", "/api/v1/bag/"


def order(person: Person, *lines: tuple[object, object]):
    return person.post(ORDERS, {"lines": [{"product": str(key), "quantity": number} for key, number in lines]})


def stocks() -> dict[str, int]:
    """By name; each is what the ledger sums to."""
    sums = dict(Movement.objects.values_list("product").annotate(Sum("delta")))
    found = {one.name: (one.stock, sums.get(one.pk, 0)) for one in Product.objects.all()}
    assert all(stock == summed for stock, summed in found.values()), found
    return {name: stock for name, (stock, _) in found.items()}


def test_an_order_takes_the_stock_and_keeps_the_prices(cast: Cast, product: MakeProduct):
    bread, milk = product("bread", price="2.50"), product("milk", price="0.99", stock=3)
    answer = order(cast.colleague, (milk.pk, 3), (bread.number, 2))
    assert answer.status_code == 201
    placed = answer.json()
    assert placed["state"] == "PENDING_CONFIRMATION"
    assert placed["total"] == "7.97"
    lines = {(line["name"], line["price"], line["quantity"]) for line in placed["lines"]}
    assert lines == {("bread", "2.50", 2), ("milk", "0.99", 3)}
    assert placed["confirm_until"] > placed["created"]
    shown = cast.colleague.get(f"{ORDERS}{placed['id']}/").json()
    assert [step["state"] for step in shown.pop("history")] == ["PENDING_CONFIRMATION"]
    assert shown == placed
    assert answer["ETag"] == '"1"'
    assert stocks() == {"bread": 8, "milk": 0}
    Product.objects.update(price=99, name="dear")
    assert cast.colleague.get(f"{ORDERS}{placed['number']}/").json()["lines"] == placed["lines"]
    assert LoggedChange.objects.get(model="shop.order").actor == f"user:{cast.colleague.user.pk}"
    moved = Movement.objects.filter(order=placed["id"]).values_list("reason", "actor")
    assert set(moved) == {("ORDER", f"user:{cast.colleague.user.pk}")}


def test_equal_lines_are_summed_before_the_check(cast: Cast, product: MakeProduct):
    bread = product("bread", stock=5)
    answer = order(cast.owner, (bread.pk, 3), (bread.number, 3))
    assert answer.status_code == 409
    assert answer.json()["lines"] == [{"product": str(bread.pk), "asked": 6, "available": 5}]
    assert order(cast.owner, (bread.pk, 2), (bread.number, 3)).json()["lines"][0]["quantity"] == 5
    assert stocks() == {"bread": 0}


def test_a_declined_order_names_requested_and_available_and_takes_nothing(cast: Cast, product: MakeProduct):
    bread, milk = product("bread"), product("milk", stock=1)
    answer = order(cast.owner, (bread.pk, 2), (milk.pk, 2))
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"] == "/problems/insufficient-stock"
    assert problem["lines"] == [
        {"product": str(bread.pk), "asked": 2, "available": 10},
        {"product": str(milk.pk), "asked": 2, "available": 1},
    ]
    assert problem["errors"] == [{"field": "lines.1", "detail": "Requested: 2, available: 1."}]
    assert stocks() == {"bread": 10, "milk": 1}
    assert not Order.objects.exists()


def test_products_off_sale_are_unknown_to_others_and_unavailable_to_their_owner(cast: Cast, product: MakeProduct):
    bread = product("bread")
    Product.objects.update(state="OFF_SALE")
    assert order(cast.owner, (bread.pk, 1)).json()["lines"][0]["available"] == 0
    for key in (bread.pk, bread.number):
        answer = order(cast.colleague, (key, 1))
        assert answer.status_code == 400
        assert answer.json()["errors"] == [{"field": "lines", "detail": f"There is no product {key}."}]


def test_the_limit_of_one_product_is_for_its_lines_together(cast: Cast, product: MakeProduct):
    bread = product("bread", stock=10**9)
    answer = order(cast.colleague, (bread.pk, 1_000_000), (bread.number, 1_000_000), (str(bread.number), 1_000_000))
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["field"] == "lines.0"
    assert error["detail"].startswith("At most 1000000 of one product")
    frozen = {"products": [{"id": bread.number, "quantity": 1_000_000}] * 2}
    answer = cast.colleague.post("/api/order/", frozen)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "products.0")
    assert stocks() == {"bread": 10**9}
    assert order(cast.colleague, (bread.pk, 999_999), (bread.pk, 1)).status_code == 201


@pytest.mark.parametrize("key", [uuid4(), 999_999])
def test_unknown_products_cannot_be_ordered(cast: Cast, product: MakeProduct, key: object):
    bread = product("bread")
    answer = order(cast.owner, (bread.pk, 1), (key, 1))
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": "lines", "detail": f"There is no product {key}."}]
    assert stocks() == {"bread": 10}


def test_a_deleted_product_cannot_be_ordered(cast: Cast, product: MakeProduct):
    bread = product("bread")
    cast.owner.delete(f"/api/v1/products/{bread.pk}/")
    assert order(cast.colleague, (bread.pk, 1)).status_code == 400


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ([], "lines"),
        ([{"product": 1, "quantity": 0}], "lines.0.quantity"),
        ([{"product": 1, "quantity": -1}], "lines.0.quantity"),
        ([{"product": 1, "quantity": 1_000_001}], "lines.0.quantity"),
        ([{"product": 1, "quantity": "many"}], "lines.0.quantity"),
        ([{"product": True, "quantity": 1}], "lines.0.product"),
        ([{"product": "x", "quantity": 1}], "lines.0.product"),
        ([{"product": 10**18, "quantity": 1}], "lines.0.product"),
        ([{"product": 1, "quantity": 1, "price": "0.01"}], "lines.0.price"),
        ([{"product": 1, "quantity": 1}] * 101, "lines"),
    ],
)
def test_invalid_orders_are_400(cast: Cast, lines: list, field: str):
    answer = cast.owner.post(ORDERS, {"lines": lines})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_orders_are_their_buyers_own(cast: Cast, product: MakeProduct):
    placed = order(cast.colleague, (product().pk, 1)).json()
    for path in (f"{ORDERS}{placed['id']}/", f"{ORDERS}{placed['number']}/"):
        assert cast.colleague.get(path).status_code == 200
        assert cast.owner.get(path).status_code == cast.staff.get(path).status_code == 404
        assert cast.owner.post(f"{path}cancel/", {}).status_code == 404
    assert [one["id"] for one in cast.colleague.get(ORDERS).json()["results"]] == [placed["id"]]
    assert cast.owner.get(ORDERS).json()["results"] == []


def test_orders_are_filtered_by_state_and_sorted_by_time(cast: Cast, product: MakeProduct):
    first, second, third = (order(cast.owner, (product().pk, 1)).json()["number"] for _ in range(3))
    cast.owner.post(f"{ORDERS}{second}/cancel/", {})

    def numbers(query: str) -> list[int]:
        return [one["number"] for one in cast.owner.get(f"{ORDERS}?{query}").json()["results"]]

    assert numbers("ordering=created") == [first, second, third]
    assert numbers("state=PENDING_CONFIRMATION") == [third, first]
    assert numbers("state=CANCELLED&ordering=-created") == [second]
    answer = cast.owner.get(f"{ORDERS}?state=GONE")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "state")


def test_cancelling_releases_the_stock_once(cast: Cast, product: MakeProduct):
    bread, milk = product("bread"), product("milk")
    placed = order(cast.owner, (bread.pk, 4), (milk.pk, 1)).json()
    cancelled = cast.owner.post(f"{ORDERS}{placed['id']}/cancel/", {})
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "CANCELLED")
    assert [step["state"] for step in cancelled.json()["history"]] == ["PENDING_CONFIRMATION", "CANCELLED"]
    assert stocks() == {"bread": 10, "milk": 10}
    again = cast.owner.post(f"{ORDERS}{placed['id']}/cancel/", {})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/conflict")
    assert "CANCELLED" in again.json()["detail"]
    assert stocks() == {"bread": 10, "milk": 10}
    back = Movement.objects.filter(reason="CANCEL").values_list("delta", "order")
    assert sorted(delta for delta, _ in back) == [1, 4]
    assert {str(key) for _, key in back} == {placed["id"]}


def test_unconfirmed_orders_expire(cast: Cast, product: MakeProduct, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(actions, "BATCH", 2)
    bread, milk = product("bread", stock=100), product("milk", stock=100)
    for _ in range(5):
        order(cast.owner, (bread.pk, 3), (milk.pk, 1))
    kept = order(cast.owner, (bread.pk, 1)).json()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_order SET confirm_until = now() - interval '1 s' WHERE id <> %s", [kept["id"]])
    assert expire_orders() == 5
    assert expire_orders() == 0
    assert stocks() == {"bread": 99, "milk": 100}
    assert Counter(Order.objects.values_list("state", flat=True)) == {"NOT_CONFIRMED": 5, "PENDING_CONFIRMATION": 1}
    assert Movement.objects.filter(reason="EXPIRE").values("order").distinct().count() == 5


def test_an_order_placed_before_the_clock_stepped_back_has_no_more_time_than_another(
    cast: Cast, product: MakeProduct, settings
):
    """One that was given more time by another setting keeps it."""
    bread = product("bread", stock=100)
    before, longer = (order(cast.owner, (bread.pk, 1)).json()["id"] for _ in range(2))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_order SET confirm_until = confirm_until + interval '1 hour'")
        cursor.execute("UPDATE shop_order SET created = now() + interval '1 hour' WHERE id = %s", [before])
    assert expire_orders() == 0
    left = "SELECT confirm_until <= now() + %s * interval '1 s' FROM shop_order WHERE id = %s"
    with connection.cursor() as cursor:
        for key, is_near in ((before, True), (longer, False)):
            cursor.execute(left, [settings.ORDER_CONFIRM_SECONDS + 1, key])
            assert cursor.fetchone() == (is_near,)


def test_final_order_is_accepted_without_a_deadline(cast: Cast, product: MakeProduct):
    bread = product("bread")
    number = place_order(actor="", buyer=cast.owner.user, lines=[Line(bread.pk, 1)], final=True).number
    placed = Order.objects.get(number=number)
    assert (placed.state, placed.confirm_until) == ("ACCEPTED", None)
    assert expire_orders() == 0


def test_a_repeat_is_not_a_second_order(cast: Cast, product: MakeProduct):
    bread = product("bread")
    body = {"lines": [{"product": str(bread.pk), "quantity": 1}]}
    headers = {"idempotency-key": "once"}
    answers = [cast.owner.client.post(ORDERS, body, content_type="application/json", headers=headers) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert stocks() == {"bread": 9}


# --- Bags -----------------------------------------------------------------------------------------------


def put(person: Person, product: Product, quantity: int):
    return person.put(f"{BAG}items/{product.pk}/", {"quantity": quantity})


def test_a_bag_becomes_an_order(cast: Cast, product: MakeProduct):
    bread, milk = product("bread", price="2.50"), product("milk", price="1.00")
    assert cast.colleague.get(BAG).json() == {"lines": [], "total": "0.00"}
    put(cast.colleague, bread, 5)
    put(cast.colleague, milk, 1)
    shown = put(cast.colleague, bread, 2).json()
    assert [(line["name"], line["quantity"], line["available"]) for line in shown["lines"]] == [
        ("bread", 2, 10),
        ("milk", 1, 10),
    ]
    assert shown["total"] == "6.00"
    assert cast.owner.get(BAG).json()["lines"] == []
    Product.objects.filter(pk=milk.pk).update(price="3.00")
    assert cast.colleague.get(BAG).json()["total"] == "8.00"
    placed = cast.colleague.post(f"{BAG}order/", {})
    assert (placed.status_code, placed.json()["total"]) == (201, "8.00")
    assert cast.colleague.get(BAG).json()["lines"] == []
    assert cast.colleague.post(f"{BAG}order/", {}).status_code == 409
    assert Bag.objects.get(state="ORDERED").order_id == Order.objects.get().pk


def test_a_bag_with_insufficient_stock_is_not_changed(cast: Cast, product: MakeProduct):
    bread = product("bread", stock=1)
    put(cast.owner, bread, 2)
    declined = cast.owner.post(f"{BAG}order/", {})
    assert (declined.status_code, declined.json()["type"]) == (409, "/problems/insufficient-stock")
    assert cast.owner.get(BAG).json()["lines"][0]["quantity"] == 2
    assert cast.owner.delete(f"{BAG}items/{bread.number}/").status_code == 204
    assert cast.owner.delete(f"{BAG}items/{bread.number}/").status_code == 204
    assert cast.owner.get(BAG).json()["lines"] == []


def test_full_bag_refuses_another_product(cast: Cast, product: MakeProduct, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bags, "MAX_LINES", 2)
    first, second, third = (product(f"thing {n}") for n in range(3))
    assert [put(cast.owner, one, 1).status_code for one in (first, second, third)] == [200, 200, 409]
    assert put(cast.owner, first, 5).status_code == 200
    assert [line["quantity"] for line in cast.owner.get(BAG).json()["lines"]] == [5, 1]


def test_products_off_sale_are_hidden_in_bags_of_others(cast: Cast, product: MakeProduct):
    bread, milk = product("bread"), product("milk")
    for person in (cast.owner, cast.colleague):
        put(person, bread, 1)
        put(person, milk, 1)
    Product.objects.filter(pk=milk.pk).update(state="OFF_SALE", name="secret")
    assert [line["name"] for line in cast.colleague.get(BAG).json()["lines"]] == ["bread"]
    assert [line["available"] for line in cast.owner.get(BAG).json()["lines"]] == [10, 0]
    assert cast.colleague.post(f"{BAG}order/", {}).json()["total"] == "2.50"
    assert cast.outsider.delete(f"{BAG}items/{milk.pk}/").status_code == 404
    assert cast.owner.delete(f"{BAG}items/{milk.pk}/").status_code == 204


def test_hidden_products_can_be_removed_from_the_bag(cast: Cast, product: MakeProduct):
    bread = product("bread")
    put(cast.colleague, bread, 1)
    cast.owner.delete(f"/api/v1/products/{bread.pk}/")
    assert cast.colleague.delete(f"{BAG}items/{bread.pk}/").status_code == 204
    assert cast.colleague.post(f"{BAG}order/", {}).json()["detail"] == "The bag is empty."


def test_an_unknown_product_cannot_be_put_in_a_bag(cast: Cast):
    assert cast.owner.put(f"{BAG}items/{uuid4()}/", {"quantity": 1}).status_code == 404


# --- At once --------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_placed_order_notifies_workers(cast: Cast, product: MakeProduct, monkeypatch: pytest.MonkeyPatch):
    """It has no transaction of Django around it; workers are notified of placed orders, and not of declined ones."""
    bread, announced = product("bread", stock=1), []
    monkeypatch.setattr(commit_notifier, "notify", lambda: announced.append(True))
    assert order(cast.owner, (bread.pk, 1)).status_code == 201
    assert order(cast.owner, (bread.pk, 1)).status_code == 409
    assert announced == [True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_of_a_hundred_things_a_hundred_are_sold_to_a_thousand_buyers(cast: Cast, product: MakeProduct):
    hot = product("hot", stock=100)
    outcomes: Counter[str] = Counter()
    waiting = [cast.owner.user] * 1_000

    def buy() -> None:
        try:
            while waiting:
                try:
                    buyer = waiting.pop()
                except IndexError:
                    return
                try:
                    place_order(actor="", buyer=buyer, lines=[Line(hot.pk, 1)])
                    outcomes["sold"] += 1
                except DomainError as error:
                    outcomes[type(error).__name__] += 1
        finally:
            connections.close_all()

    threads = [threading.Thread(target=buy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"sold": 100, "InsufficientStock": 900}
    assert stocks() == {"hot": 0}
    assert Order.objects.count() == 100


@pytest.mark.django_db(transaction=True)
def test_an_order_waits_for_concurrent_changes_of_its_products(
    cast: Cast, product: MakeProduct, database: psycopg.Connection
):
    """What it counts is what is there when it has them, and not what was there when it came."""
    last = product("last", stock=1)

    def buy() -> str:
        try:
            place_order(actor="", buyer=cast.owner.user, lines=[Line(last.pk, 1)])
        except DomainError as error:
            return type(error).__name__
        else:
            return "sold"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("UPDATE shop_product SET stock = 0 WHERE id = %s", [last.pk])
            outcome = pool.submit(buy)
            eventually(lambda: any_lock_waiter(database))
        assert outcome.result() == "InsufficientStock"
    assert stocks() == {"last": 0}


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_orders_of_the_same_things_in_any_order_end_without_deadlock(cast: Cast, product: MakeProduct):
    """While orders are placed, others are cancelled and expire, and the stock is corrected."""
    keys = [product(f"thing {n}", stock=10_000).pk for n in range(5)]
    failures: list[Exception] = []

    def work(seed: int) -> None:
        try:
            for turn in range(40):
                chosen = keys[(seed + turn) % 5 :] + keys[: (seed + turn) % 5]
                lines = [Line(key, 1 + turn % 3) for key in (chosen if seed % 2 else reversed(chosen))]
                number = place_order(actor="", buyer=cast.owner.user, lines=lines).number
                if turn % 3 == 0:
                    cancel_order(actor="", order=Order.objects.get(number=number))
                if turn % 10 == 0:
                    Order.objects.filter(number=number).update(confirm_until="2026-01-01T00:00Z")
                    expire_orders()
                    product_row = Product.objects.get(pk=chosen[0])
                    update_product(actor="", product=product_row, stock=10_000)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    stocks()
