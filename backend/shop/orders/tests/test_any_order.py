"""The shop against a model of it: whatever is done in whatever order, both say the same.

A model of dictionaries does what people, the worker and the gateway do; after each step the database must agree with
it, and the ledger with the stock.
"""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backend.accounts.models import User
from backend.shop.catalogue.actions import create_product, delete_product, update_product
from backend.shop.models import Movement, Order, Payment, Product
from backend.shop.orders import reads
from backend.shop.orders.actions import SQL as ORDERS
from backend.shop.orders.actions import Line, cancel_order, expire_orders, place_order, release_stock_params
from backend.shop.orders.bags import order_bag, put_in_bag, take_from_bag
from backend.shop.orders.errors import InsufficientStock
from backend.shop.payments import processor
from backend.shop.payments.actions import confirm_order, end_order
from backend.shop.states import machines
from lockstep.rest.errors import Conflict, Invalid
from lockstep.rest.fastpath import fetch_all

# Each example has a transaction of its own, and with it a now() of its own: within one around all of them the time to
# confirm would end for all orders during a long run.
pytestmark = pytest.mark.django_db(transaction=True)

PENDING, CONFIRMED = machines.PENDING_CONFIRMATION, machines.CONFIRMED
quantities, stocks = st.integers(1, 4), st.integers(0, 6)
prices = st.integers(0, 500).map(lambda cents: Decimal(cents) / 100)
picks = st.integers(0, 10**6)
OPTIONS: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}


class Shop(RuleBasedStateMachine):
    """One seller, one buyer, and the worker. `reached` counts the states that orders came to, in all examples."""

    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.seller, self.buyer = (User.objects.create_user(name) for name in ("seller", "buyer"))
        self.products: dict[UUID, dict[str, Any]] = {}
        self.bag: dict[UUID, int] = {}
        self.orders: dict[int, dict[str, Any]] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    @initialize(quantity=quantities, price=prices, confirmed=st.booleans())
    def begin(self, quantity: int, price: Decimal, confirmed: bool) -> None:
        """With an order: most of what can be done is done to one, and by chance alone few examples have any."""
        self.add(2 * quantity, price)
        [product] = self.products
        self.order_directly([(0, quantity)])
        assert self.orders
        assert self.products[product]["stock"] == quantity
        if confirmed:
            self.confirm(0)

    # --- The seller

    @rule(stock=stocks, price=prices)
    def add(self, stock: int, price: Decimal) -> None:
        made = create_product(actor="", owner=self.seller, name="thing", price=price, stock=stock)
        self.products[made.pk] = {"stock": stock, "price": price, "state": machines.ON_SALE, "deleted": False}

    @precondition(lambda self: self.alive())
    @rule(pick=picks, stock=stocks, price=prices)
    def edit(self, pick: int, stock: int, price: Decimal) -> None:
        key = self.one_of(self.alive(), pick)
        update_product(actor="", product=Product.objects.get(pk=key), stock=stock, price=price)
        self.products[key] |= {"stock": stock, "price": price}

    @precondition(lambda self: self.alive())
    @rule(pick=picks)
    def turn(self, pick: int) -> None:
        key = self.one_of(self.alive(), pick)
        state = {machines.ON_SALE: machines.OFF_SALE, machines.OFF_SALE: machines.ON_SALE}[self.products[key]["state"]]
        update_product(actor="", product=Product.objects.get(pk=key), state=state)
        self.products[key]["state"] = state

    @precondition(lambda self: self.alive())
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        key = self.one_of(self.alive(), pick)
        delete_product(actor="", product=Product.objects.get(pk=key))
        self.products[key]["deleted"] = True

    # --- The buyer

    @precondition(lambda self: self.alive())
    @rule(pick=picks, quantity=quantities)
    def put(self, pick: int, quantity: int) -> None:
        key = self.one_of(self.alive(), pick)
        product = Product.objects.get(pk=key)
        put_in_bag(actor="", user=self.buyer, product=product, quantity=quantity)
        self.bag[key] = quantity

    @precondition(lambda self: self.bag)
    @rule(pick=picks)
    def take(self, pick: int) -> None:
        key = self.one_of(self.bag, pick)
        take_from_bag(actor="", user=self.buyer, product=Product.objects.get(pk=key))
        del self.bag[key]

    @rule()
    def order_bag(self) -> None:
        lines = {key: quantity for key, quantity in self.bag.items() if self.is_visible(key)}
        if not lines:
            with pytest.raises(Conflict):
                order_bag(actor="", user=self.buyer)
        elif self.order(lines, lambda: order_bag(actor="", user=self.buyer).number):
            self.bag = {}

    @precondition(lambda self: self.products)
    @rule(chosen=st.lists(st.tuples(picks, quantities), min_size=1, max_size=4))
    def order_directly(self, chosen: list[tuple[int, int]]) -> None:
        lines = [Line(self.one_of(self.products, pick), quantity) for pick, quantity in chosen]
        wanted: Counter[UUID] = Counter()
        for line in lines:
            assert isinstance(line.product, UUID)
            wanted[line.product] += line.quantity
        self.order(dict(wanted), lambda: place_order(actor="", buyer=self.buyer, lines=lines).number)

    def order(self, lines: dict[UUID, int], place: Callable[[], int]) -> bool:
        """Places it; whether it was to be placed."""
        if not all(self.is_visible(key) for key in lines):
            with pytest.raises(Invalid):
                place()
            return False
        there = {key: product["stock"] for key, product in self.products.items()}
        if any(quantity > there[key] for key, quantity in lines.items()):
            with pytest.raises(InsufficientStock) as declined:
                place()
            told = {
                UUID(line["product"]): (line["asked"], line["available"]) for line in declined.value.extensions["lines"]
            }
            assert told == {key: (quantity, there[key]) for key, quantity in lines.items()}
            return False
        number = place()
        total = sum((self.products[key]["price"] * quantity for key, quantity in lines.items()), Decimal(0))
        self.orders[number] = {"state": PENDING, "lines": lines, "total": total}
        for key, quantity in lines.items():
            self.products[key]["stock"] -= quantity
        return True

    @precondition(lambda self: self.orders)
    @rule(pick=picks)
    def confirm(self, pick: int) -> None:
        number = self.one_of(self.orders, pick)
        order = Order.objects.get(number=number)
        if self.orders[number]["state"] != PENDING:
            with pytest.raises(Conflict):
                confirm_order(actor="", order=order, token="tok_1")
            return
        confirm_order(actor="", order=order, token="tok_1")
        self.orders[number]["state"] = CONFIRMED

    @precondition(lambda self: self.orders)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        number = self.one_of(self.orders, pick)
        order = Order.objects.get(number=number)
        if self.orders[number]["state"] != PENDING:
            with pytest.raises(Conflict):
                cancel_order(actor="", order=order)
            return
        cancel_order(actor="", order=order)
        self.ended(number, machines.CANCELLED)

    # --- The worker and the gateway

    @rule(chosen=st.lists(picks, min_size=1, max_size=3))
    def expire(self, chosen: list[int]) -> None:
        pending = [number for number, order in self.orders.items() if order["state"] == PENDING]
        due = {self.one_of(pending, pick) for pick in chosen} if pending else set()
        Order.objects.filter(number__in=due).update(confirm_until="2026-01-01T00:00Z")
        assert expire_orders() == len(due)
        for number in due:
            self.ended(number, machines.NOT_CONFIRMED)

    @precondition(lambda self: self.orders)
    @rule(pick=picks, approved=st.booleans())
    def pay(self, pick: int, approved: bool) -> None:
        """What the cashier writes when the gateway has decided; said again, it changes nothing."""
        number = self.one_of(self.orders, pick)
        order = Order.objects.get(number=number)
        with connection.cursor() as cursor:
            cursor.execute(processor.SQL["decide"], {"order": order.pk, "charge": "ch_1", "reason": ""})
            decided = cursor.fetchone()
            assert (decided is not None) == (self.orders[number]["state"] == CONFIRMED)
            if decided and approved:
                cursor.execute(processor.SQL["accept"], {"order": order.pk})
        if not decided:
            return
        if approved:
            self.orders[number]["state"] = machines.ACCEPTED
            return
        assert len(fetch_all(ORDERS["release_stock"], release_stock_params("reject", [order.pk], "declined"))) == 1
        self.ended(number, machines.REJECTED)

    @precondition(lambda self: self.orders)
    @rule(pick=picks)
    def end(self, pick: int) -> None:
        """What staff do, and the worker after them, where the gateway has no charge."""
        number = self.one_of(self.orders, pick)
        order = Order.objects.get(number=number)
        if self.orders[number]["state"] != CONFIRMED:
            with pytest.raises(Conflict):
                end_order(actor="", order=order)
            return
        end_order(actor="", order=order)
        fetch_all(processor.SQL["decide"], {"order": order.pk, "charge": "", "reason": ""})
        assert len(fetch_all(ORDERS["release_stock"], release_stock_params("end", [order.pk], "ended"))) == 1
        self.ended(number, machines.REJECTED)

    # --- What must hold

    @invariant()
    def stock_is_as_the_model_has_it_and_as_the_ledger_sums(self) -> None:
        stocks = dict(Product.objects.values_list("pk", "stock"))
        assert stocks == {key: product["stock"] for key, product in self.products.items()}
        summed = dict(Movement.objects.values_list("product").annotate(Sum("delta")))
        assert {key: summed.get(key, 0) for key in stocks} == stocks

    @invariant()
    def orders_are_as_the_model_has_them(self) -> None:
        Shop.reached.update(order["state"] for order in self.orders.values())
        found = {
            order.number: {
                "state": order.state,
                "lines": {UUID(line["product"]): line["quantity"] for line in order.lines},
                "total": order.total,
            }
            for order in Order.objects.all()
        }
        assert found == self.orders
        paid = sum(order["state"] in (CONFIRMED, machines.ACCEPTED, machines.REJECTED) for order in found.values())
        assert Payment.objects.count() == paid

    @invariant()
    def the_bag_is_as_the_model_has_it(self) -> None:
        shown = {line.product_id: line.quantity for line in reads.bag(self.buyer).lines}
        assert shown == {key: n for key, n in self.bag.items() if self.is_visible(key)}

    # --- Words

    def is_visible(self, key: UUID) -> bool:
        """To the buyer, who sells nothing."""
        return not self.products[key]["deleted"] and self.products[key]["state"] == machines.ON_SALE

    def alive(self) -> list[UUID]:
        return [key for key, product in self.products.items() if not product["deleted"]]

    def one_of(self, things: Any, pick: int) -> Any:
        return list(things)[pick % len(things)]

    def ended(self, number: int, state: str) -> None:
        order = self.orders[number]
        order["state"] = state
        for key, quantity in order["lines"].items():
            self.products[key]["stock"] += quantity


@pytest.mark.slow
def test_shop_agrees_with_its_model():
    Shop.reached.clear()
    run_state_machine_as_test(
        Shop, settings=settings(max_examples=20, stateful_step_count=25, derandomize=True, **OPTIONS)
    )
    assert set(Shop.reached) == set(machines.ORDER.states), "too few examples, or the wrong ones"


@pytest.mark.faults
@pytest.mark.timeout(7_200)
def test_shop_agrees_with_its_model_ten_thousand_times():
    run_state_machine_as_test(Shop, settings=settings(max_examples=10_000, stateful_step_count=25, **OPTIONS))
