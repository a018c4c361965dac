"""Two tabs on one bag: each request is answered as if they had come one after the other."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier
from typing import Any

import psycopg
import pytest
from django.db import connections

from backend.shop.conftest import MakeProduct
from backend.shop.models import Bag, Order, Product
from tests.support import Cast, Person, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db(transaction=True)

BAG = "/api/v1/bag/"


def put(person: Person, product: Product, quantity: int = 1) -> Any:
    return person.put(f"{BAG}items/{product.pk}/", {"quantity": quantity})


def in_thread(request: Callable[[], Any]) -> Callable[[], Any]:
    """The request with connections of its own thread, which are closed."""

    def run() -> Any:
        try:
            return request()
        finally:
            connections.close_all()

    return run


def while_the_bag_is_ordered(database: psycopg.Connection, request: Callable[[], Any]) -> Any:
    """The answer to a request that waits while another transaction orders the bag."""
    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("UPDATE shop_bag SET state = 'ORDERED'")
            answer = pool.submit(in_thread(request))
            eventually(lambda: any_lock_waiter(database))
        return answer.result()


def test_put_beside_an_order_opens_a_new_bag(cast: Cast, product: MakeProduct, database: psycopg.Connection):
    bread, milk = product("bread"), product("milk")
    put(cast.colleague, bread)
    answer = while_the_bag_is_ordered(database, lambda: put(cast.colleague, milk, 3))
    assert answer.status_code == 200
    assert [(line["name"], line["quantity"]) for line in answer.json()["lines"]] == [("milk", 3)]
    assert cast.colleague.get(BAG).json() == answer.json()


def test_second_order_of_a_bag_is_refused_as_empty(cast: Cast, product: MakeProduct, database: psycopg.Connection):
    put(cast.colleague, product("bread"))
    answer = while_the_bag_is_ordered(database, lambda: cast.colleague.post(f"{BAG}order/", {}))
    assert (answer.status_code, answer.json()["detail"]) == (409, "The bag is empty.")
    assert not Order.objects.exists()


def test_delete_beside_an_order_finds_nothing_to_do(cast: Cast, product: MakeProduct, database: psycopg.Connection):
    bread = product("bread")
    put(cast.colleague, bread)
    answer = while_the_bag_is_ordered(database, lambda: cast.colleague.delete(f"{BAG}items/{bread.pk}/"))
    assert answer.status_code == 204


def test_an_order_during_the_deletion_of_a_product_names_it_and_keeps_the_bag(
    cast: Cast, product: MakeProduct, database: psycopg.Connection
):
    bread, milk = product("bread"), product("milk")
    put(cast.colleague, bread)
    put(cast.colleague, milk, 2)
    with ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute("UPDATE shop_product SET deleted = now() WHERE id = %s", [milk.pk])
            waiting = pool.submit(in_thread(lambda: cast.colleague.post(f"{BAG}order/", {})))
            eventually(lambda: any_lock_waiter(database))
        answer = waiting.result()
    assert answer.status_code == 409
    assert answer.json()["errors"] == [
        {"field": "lines.1", "detail": f"milk (product {milk.number}) is no longer sold."}
    ]
    assert [line["name"] for line in cast.colleague.get(BAG).json()["lines"]] == ["bread"]
    assert cast.colleague.post(f"{BAG}order/", {}).status_code == 201


@pytest.mark.parametrize("rounds", [10, pytest.param(500, marks=[pytest.mark.faults, pytest.mark.timeout(3_600)])])
@pytest.mark.slow
def test_any_requests_at_once_are_answered_as_one_after_the_other(cast: Cast, product: MakeProduct, rounds: int):
    """Every unit that a PUT confirmed is ordered once, in the bag, or was removed."""
    random, answers = Random(36), Counter[tuple[str, int]]()
    things = [product(f"thing {n}", stock=10**9) for n in range(3)]
    requests: dict[str, Callable[[], Any]] = {
        "put": lambda: put(cast.colleague, random.choice(things)),
        "delete": lambda: cast.colleague.delete(f"{BAG}items/{random.choice(things).pk}/"),
        "order": lambda: cast.colleague.post(f"{BAG}order/", {}),
    }
    for _ in range(rounds):
        put(cast.colleague, things[0])
        chosen = ["put", "order", "order", *random.choices(list(requests), k=3)]
        start = Barrier(len(chosen))

        def run(name: str, start: Barrier = start) -> tuple[str, int]:
            start.wait()
            return name, requests[name]().status_code

        with ThreadPoolExecutor(len(chosen)) as pool:
            waiting = [pool.submit(in_thread(lambda name=name: run(name))) for name in chosen]  # type: ignore[misc]
            answers.update(one.result() for one in waiting)
    assert answers.keys() <= {("put", 200), ("delete", 204), ("order", 201), ("order", 409)}
    assert Order.objects.count() == answers["order", 201] == Bag.objects.filter(state="ORDERED").count()
