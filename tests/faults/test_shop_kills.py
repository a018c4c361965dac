"""kill -9 of the web server, the worker and PostgreSQL, while many order, cancel and pay: nothing is oversold.

Each request is sent under a key until it is answered, so that its buyer knows in the end what must become of each
order: what was answered 201 is one, what was declined is none. Of each product stock and sold are together what there
was in the beginning, and the ledger says the same, order by order.

LOCKSTEP_ORDERS=<n> makes the long form one of so many attempts to order; 1000000 of them take some hours.
"""

import contextlib
import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import psycopg
import pytest

from backend.shop.states import machines
from devstack.sandbox.payments import StandIn, card_behaviours
from tests.acceptance.running import Run, free_port
from tests.conftest import copied
from tests.faults.test_kills import VICTIMS
from tests.support import WAIT_TIMEOUT, eventually

logger = logging.getLogger(__name__)

BUYERS, PRODUCTS = 16, 50
CONFIRM_SECONDS = 5
ORDERS = int(os.environ.get("LOCKSTEP_ORDERS", "50000"))
CARDS = (
    card_behaviours.PAYS,
    card_behaviours.PAYS,
    card_behaviours.PAYS,
    card_behaviours.IS_DECLINED,
    card_behaviours.CUTS_THE_LINE,
    card_behaviours.FAILS_TWICE,
)
# A lane that failed some times waits for minutes, which this test does not. `leases`: also one that is claimed.
TIME_PASSES = """
    UPDATE lockstep_lane SET next_at = now() WHERE id IN (
        SELECT id FROM lockstep_lane WHERE next_at > now() AND (failure IS NOT NULL OR %(leases)s)
        FOR UPDATE SKIP LOCKED)"""


@dataclass(frozen=True)
class Trial:
    """How much is ordered, of how much, and how often all three processes are killed, with which pauses between."""

    seed: int
    orders: int
    stock: int  # of each product
    rounds: int
    pauses: tuple[float, float]  # seconds
    leases_end: bool  # those of the dead are not waited for


QUICK = Trial(seed=1, orders=120, stock=6, rounds=1, pauses=(0.5, 2.0), leases_end=True)
MAX_STOCK = 2_000  # of a product: a million attempts soon sell all of it, and go on asking
LONG = Trial(
    seed=2, orders=ORDERS, stock=max(1, min(ORDERS // 25, MAX_STOCK)), rounds=10, pauses=(10.0, 30.0), leases_end=False
)


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    body: Any

    @property
    def problem(self) -> str:
        """The name of the problem; empty where all went well."""
        return "" if self.status < 400 else str(self.body["type"]).rpartition("/")[2]


class Buyer:
    """Orders at random, then confirms, cancels or does neither. `ends` has the state in which each order must end."""

    def __init__(self, port: int, token: str, products: list[int], seed: int) -> None:
        self.products, self.dice = products, random.Random(seed)
        self.ends: dict[int, str] = {}
        self.answers: Counter[str] = Counter()
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        # The plainest client: in a million attempts another would take longer than what it asks.
        self.http = HTTPConnection("127.0.0.1", port, timeout=20)

    def live(self, closing: threading.Event) -> None:
        with contextlib.closing(self.http):
            while not closing.is_set():
                self.order()

    def order(self) -> None:
        lines = [
            {"product": self.dice.choice(self.products), "quantity": self.dice.randint(1, 3)}
            for _ in range(self.dice.randint(1, 5))
        ]
        answer = self.send("order", "orders/", {"lines": lines})
        if answer.status == 201:
            number = answer.body["number"]
            assert number not in self.ends, "one order for two requests"
            self.ends[number] = self.go_on(number)

    def go_on(self, number: int) -> str:
        """The state in which the order must end."""
        chance, status = self.dice.random(), 0
        if chance < 0.4:
            number_of_card = self.dice.choice(CARDS)
            card = {"card_number": number_of_card, "expiry": "12/40", "cvc": "123"}
            status = self.send("confirm", f"orders/{number}/confirm/", {"payment": card}).status
            paid = machines.REJECTED if number_of_card == card_behaviours.IS_DECLINED else machines.ACCEPTED
            return paid if status == 200 else machines.NOT_CONFIRMED
        if chance < 0.7:
            status = self.send("cancel", f"orders/{number}/cancel/", {}).status
        return machines.CANCELLED if status == 200 else machines.NOT_CONFIRMED

    def send(self, what: str, path: str, body: dict[str, Any]) -> Answer:
        """The answer, however often it takes. Only a server that says so, or none, is asked again."""
        key, until = str(uuid4()), time.monotonic() + WAIT_TIMEOUT
        while time.monotonic() < until:
            try:
                answer = self.post(f"/api/v1/{path}", orjson.dumps(body), {**self.headers, "Idempotency-Key": key})
            except (HTTPException, OSError):
                self.http.close()
                time.sleep(0.05)  # the server is coming back
                continue
            if answer.status == 503 or answer.problem == "in-flight":
                time.sleep(0.1)
                continue
            self.answers[f"{what} {answer.status} {answer.problem}".strip()] += 1
            return answer
        raise AssertionError(f"no answer within {WAIT_TIMEOUT:g} s: {what}")

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Raises HTTPException and OSError, for whatever cut the line."""
        self.http.request("POST", path, body, headers)
        response = self.http.getresponse()
        return Answer(response.status, orjson.loads(response.read()))


EXPECTED = {
    *("order 201", "order 409 insufficient-stock"),
    *("confirm 200", "confirm 409 conflict", "cancel 200", "cancel 409 conflict"),  # its time was over
}


@pytest.fixture
def gateway() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture
def system(first_home: Path, home: Path, gateway: StandIn) -> Iterator[Run]:
    options = {"ORDER_CONFIRM_SECONDS": str(CONFIRM_SECONDS), "RATE_LIMIT": "1000000000", "LOG_LEVEL": "WARNING"}
    options |= {"UNPAID_ORDERS_PER_USER": "0", "UNPAID_UNITS_PER_USER": "0", "CARD_TRIES_PER_HOUR": "1000000"}
    run = Run(copied(first_home, home / "home"), free_port(), PAYMENTS_URL=gateway.url, **options)
    run.until_ready()
    yield run
    run.end()


@pytest.mark.needs("linux")
@pytest.mark.parametrize(
    "trial",
    [
        pytest.param(QUICK, marks=pytest.mark.slow, id="quick"),
        pytest.param(LONG, marks=[pytest.mark.faults, pytest.mark.timeout(3_600 + ORDERS // 20)], id="long"),
    ],
)
def test_nothing_is_oversold_when_processes_die(system: Run, gateway: StandIn, trial: Trial):
    token = system.sign_in()
    products = stocked(system.url, token, trial.stock)
    buyers = [Buyer(int(system.port), token, products, trial.seed * 100 + n) for n in range(BUYERS)]
    killed = kill_while_they_buy(system, trial, buyers)
    answers = all_answers(buyers)
    logger.info("killed: %s; answers: %s", dict(killed), dict(answers))
    assert set(answers) <= EXPECTED
    settle(system, leases_end=trial.leases_end)
    assert_no_deadlock(system, killed["PostgreSQL"])
    with psycopg.connect(system.database_url) as connection:
        assert_orders_match_their_answers(connection, buyers)
        assert_stock_and_sales_add_up(connection, trial.stock)
        assert_charges_match_orders(connection, gateway)


def stocked(url: str, token: str, stock: int) -> list[int]:
    """The numbers of the products."""
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as http:
        bodies = [{"name": f"thing {n}", "price": f"{n}.50", "stock": stock} for n in range(PRODUCTS)]
        return [http.post(f"{url}/api/v1/products/", json=body).json()["number"] for body in bodies]


def all_answers(buyers: list[Buyer]) -> Counter[str]:
    return sum((buyer.answers.copy() for buyer in buyers), Counter[str]())


def kill_while_they_buy(system: Run, trial: Trial, buyers: list[Buyer]) -> Counter[str]:
    """How often each was killed, until all rounds are over and there were orders enough, some of them declined."""

    def enough() -> bool:
        answers = all_answers(buyers)
        declined = answers["order 409 insufficient-stock"]
        return answers["order 201"] + declined >= trial.orders and declined > 0

    closing, killed = threading.Event(), Counter[str]()
    dice = random.Random(trial.seed)
    with ThreadPoolExecutor(BUYERS) as pool:
        lives = [pool.submit(buyer.live, closing) for buyer in buyers]
        try:
            while killed.total() < trial.rounds * len(VICTIMS) or not enough():
                for victim in dice.sample(list(VICTIMS), len(VICTIMS)):
                    time.sleep(dice.uniform(*trial.pauses))  # the load that it is killed under
                    killed[victim] += kill(system, victim, lambda: all_answers(buyers).total())
                logger.info("killed: %s; answers: %s", dict(killed), dict(all_answers(buyers)))
        finally:
            closing.set()
        for life in lives:
            life.result()
    return killed


def kill(system: Run, victim: str, served: Callable[[], int]) -> bool:
    """kill -9, once requests are served again: before that, none would meet this kill."""
    before = served()
    eventually(lambda: served() > before, "a request to be served")
    with contextlib.suppress(ValueError, ProcessLookupError):  # it is still coming back from the last time
        os.kill(system.find(VICTIMS[victim]), signal.SIGKILL)
        return True
    return False


def settle(system: Run, *, leases_end: bool) -> None:
    """Waits until all orders have ended: for 35 s where a killed worker held one, unless leases end at once.

    Those of a living worker then end, too: a delivery that is settled after the end of its lease must do no harm.
    """
    system.until_ready()

    def settled() -> bool:
        time.sleep(0.5)
        with psycopg.connect(system.database_url, autocommit=True) as connection:
            connection.execute(TIME_PASSES, {"leases": leases_end})
            letters = connection.execute("SELECT subscription_id, object_id, cause FROM lockstep_deadletter").fetchall()
            assert letters == [], "it would wait for people"
            waiting = "SELECT count(*) FROM shop_order WHERE state IN ('PENDING_CONFIRMATION', 'CONFIRMED')"
            return connection.execute(waiting).fetchone() == (0,)

    eventually(settled, "all orders to end", patience=600)


def assert_no_deadlock(system: Run, deaths: int) -> None:
    """No deadlock in any life of PostgreSQL, tried again or not. Its counters die with it, its log does not."""
    log = (system.home / "logs" / "postgres.log").read_text()
    assert log.count("database system is ready to accept connections") > deaths, "this is not the whole log"
    assert "deadlock detected" not in log


def assert_orders_match_their_answers(connection: psycopg.Connection, buyers: list[Buyer]) -> None:
    expected = {number: state for buyer in buyers for number, state in buyer.ends.items()}
    assert len(expected) == sum(buyer.answers["order 201"] for buyer in buyers), "one order for two requests"
    found = dict(connection.execute("SELECT number, state FROM shop_order").fetchall())
    pairs = {number: (expected.get(number), found.get(number)) for number in expected | found}
    assert {number: pair for number, pair in pairs.items() if pair[0] != pair[1]} == {}


def assert_stock_and_sales_add_up(connection: psycopg.Connection, stock: int) -> None:
    of_products = """
        SELECT p.stock + coalesce(sum(sold.quantity), 0),
               (SELECT sum(delta) FROM shop_movement m WHERE m.product_id = p.id) - p.stock
        FROM shop_product p
        LEFT JOIN (
            SELECT (line ->> 'product')::uuid AS product, (line ->> 'quantity')::bigint AS quantity
            FROM shop_order CROSS JOIN jsonb_array_elements(lines) AS line WHERE state = 'ACCEPTED'
        ) AS sold ON sold.product = p.id
        GROUP BY p.id"""
    assert connection.execute(of_products).fetchall() == [(stock, 0)] * PRODUCTS
    of_orders = """
        SELECT o.number, o.state, line, m.delta FROM shop_order o CROSS JOIN jsonb_array_elements(o.lines) AS line
        LEFT JOIN (
            SELECT order_id, product_id, sum(delta) AS delta FROM shop_movement GROUP BY order_id, product_id
        ) AS m ON m.order_id = o.id AND m.product_id = (line ->> 'product')::uuid
        WHERE m.delta IS DISTINCT FROM CASE o.state WHEN 'ACCEPTED' THEN -(line ->> 'quantity')::bigint ELSE 0 END"""
    assert connection.execute(of_orders).fetchall() == []


def assert_charges_match_orders(connection: psycopg.Connection, gateway: StandIn) -> None:
    payments = "SELECT p.id::text, o.state, o.total FROM shop_payment p JOIN shop_order o ON o.id = p.order_id"
    due = {
        key: ("approved" if state == machines.ACCEPTED else "declined", total)
        for key, state, total in connection.execute(payments).fetchall()
    }
    charges = gateway.charges()
    assert {charge["key"]: (charge["status"], Decimal(charge["amount"])) for charge in charges} == due
    assert len(charges) == len(due), "charged twice"
