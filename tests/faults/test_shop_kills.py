"""kill -9 of the worker, the web server and PostgreSQL, while many order, cancel and pay: nothing is oversold.

Each order is sent under a key until it is answered. What was answered 201 is one order, what was declined is none; of
each product stock and sold are together what there was in the beginning, and the ledger says the same. Who was charged
has an order that is accepted, once.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from lockstep.sandbox.payments import moods
from tests.acceptance.running import Run, free_port
from tests.faults.test_kills import database_url, kill_at_random, sign_in
from tests.support import eventually

BUYERS, PRODUCTS, STOCK = 16, 50, 200
CARDS = (moods.PAYS, moods.PAYS, moods.PAYS, moods.IS_DECLINED, moods.CUTS_THE_LINE, moods.FAILS_TWICE)
CONFIRM_SECONDS = 5


class Buyer(threading.Thread):
    """Orders at random, and then confirms, cancels, or forgets about it."""

    def __init__(self, url: str, token: str, products: list[int], share: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.products, self.share = products, share
        self.dice = random.Random(seed)
        self.statuses: Counter[int] = Counter()
        self.placed: list[int] = []
        self.http = httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20)

    def run(self) -> None:
        for _ in range(self.share):
            lines = [
                {"product": self.dice.choice(self.products), "quantity": self.dice.randint(1, 3)}
                for _ in range(self.dice.randint(1, 5))
            ]
            answer = self.send("orders/", {"lines": lines})
            if answer.status_code == 201:
                self.placed.append(answer.json()["number"])
                self.go_on(self.placed[-1])

    def go_on(self, number: int) -> None:
        chance = self.dice.random()
        if chance < 0.4:
            card = {"card_number": self.dice.choice(CARDS), "expiry": "12/40", "cvc": "123"}
            self.send(f"orders/{number}/confirm/", {"payment": card})
        elif chance < 0.7:
            self.send(f"orders/{number}/cancel/", {})

    def send(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """The answer, however often it takes. Only a server that says so, or none, is asked again."""
        key = str(uuid4())
        while True:
            try:
                answer = self.http.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code == 503 or "in-flight" in answer.text:
                time.sleep(0.1)
                continue
            return answer


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "home", free_port(), ORDER_CONFIRM_SECONDS=str(CONFIRM_SECONDS), RATE_LIMIT="1000000000")
    run.until_ready()
    yield run
    run.end()


def stocked(system: Run, token: str) -> list[int]:
    """The numbers of the products."""
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as http:
        url = f"http://127.0.0.1:{system.port}/api/v1/products/"
        made = [http.post(url, json={"name": f"thing {n}", "price": "1.00", "stock": STOCK}) for n in range(PRODUCTS)]
    return [answer.json()["number"] for answer in made]


def settled(system: Run) -> bool:
    with psycopg.connect(database_url(system), autocommit=True) as connection:
        waiting = "SELECT count(*) FROM shop_order WHERE state IN ('PENDING_CONFIRMATION', 'CONFIRMED')"
        return connection.execute(waiting).fetchone() == (0,)


@pytest.mark.needs("linux")
@pytest.mark.parametrize(
    ("orders", "seed"),
    [pytest.param(800, 1, marks=pytest.mark.slow), pytest.param(50_000, 2, marks=pytest.mark.faults)],
)
@pytest.mark.timeout(3_600)
def test_nothing_is_oversold_whoever_dies(system: Run, orders: int, seed: int):
    token, url = sign_in(system), f"http://127.0.0.1:{system.port}"
    products = stocked(system, token)
    buyers = [Buyer(url, token, products, orders // BUYERS, seed * 100 + n) for n in range(BUYERS)]
    for buyer in buyers:
        buyer.start()
    killed = kill_at_random(system, seed, lambda: not any(buyer.is_alive() for buyer in buyers))
    assert killed.total() >= 3, "the buyers were done before anybody died"
    system.until_ready()
    eventually(lambda: settled(system), "all orders to end", patience=300)
    statuses = sum((buyer.statuses for buyer in buyers), Counter[int]())
    assert not set(statuses) - {200, 201, 409, 503}, statuses
    assert statuses[201]
    assert_stock_and_sold_are_what_there_was(system)
    with psycopg.connect(database_url(system)) as connection:
        numbers = [number for (number,) in connection.execute("SELECT number FROM shop_order").fetchall()]
        assert sorted(numbers) == sorted(number for buyer in buyers for number in buyer.placed)
    assert_money_was_taken_for_what_is_accepted(system)


def assert_stock_and_sold_are_what_there_was(system: Run) -> None:
    sold = """
        SELECT p.stock + coalesce(sum((line ->> 'quantity')::bigint), 0),
               (SELECT sum(delta) FROM shop_movement m WHERE m.product_id = p.id) - p.stock
        FROM shop_product p
        LEFT JOIN (
            SELECT jsonb_array_elements(lines) AS line FROM shop_order WHERE state = 'ACCEPTED'
        ) AS o ON (line ->> 'product')::uuid = p.id
        GROUP BY p.id"""
    with psycopg.connect(database_url(system)) as connection:
        assert set(connection.execute(sold).fetchall()) == {(STOCK, 0)}


def assert_money_was_taken_for_what_is_accepted(system: Run) -> None:
    lines = (system.home / "environment").read_text().splitlines()
    gateway = next(line.split("=", 1)[1].strip("'\"") for line in lines if line.startswith("PAYMENTS_URL="))
    payments = "SELECT p.id::text, o.state FROM shop_payment p JOIN shop_order o ON o.id = p.order_id"
    with psycopg.connect(database_url(system)) as connection, httpx.Client(base_url=gateway) as http:
        for key, state in connection.execute(payments).fetchall():
            charges = http.get("/charges", params={"key": key}).json()["items"]
            assert [charge["status"] for charge in charges] == ["approved" if state == "ACCEPTED" else "declined"]
