"""Confirmation and expiry in the same instant: one of them wins, and the stock is right."""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models import F
from django.db.models.functions import Now

from backend.shop.conftest import MakeProduct
from backend.shop.models import Movement, Order, Payment, Product
from backend.shop.orders.actions import Line, expire_orders, place_order
from backend.shop.payments.actions import confirm_order
from backend.shop.states import machines
from lockstep.rest.errors import Conflict
from tests.support import Cast

pytestmark = pytest.mark.django_db(transaction=True)

# Orders whose time ends one after the other, within the time that confirming them takes. The first is too late whatever
# the machine's speed, and the last in time, so that both outcomes are there; who has the others is the race.
AT_ONCE = 100
APART, LONG = timedelta(milliseconds=2), timedelta(hours=1)


@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=[pytest.mark.faults, pytest.mark.timeout(3_600)])])
@pytest.mark.slow
def test_each_order_is_either_confirmed_or_expires(cast: Cast, product: MakeProduct, settings: Any, rounds: int):
    settings.UNPAID_ORDERS_PER_USER = 0  # what is confirmed is never paid here
    outcomes: Counter[str] = Counter()
    thing = product("thing", stock=AT_ONCE * rounds)
    for _ in range(rounds):
        outcomes += one_round(cast, thing)
    thing.refresh_from_db()
    accounted = outcomes[machines.CONFIRMED] + outcomes[machines.NOT_CONFIRMED]
    assert accounted == AT_ONCE * rounds
    assert thing.stock == AT_ONCE * rounds - outcomes[machines.CONFIRMED]
    assert Payment.objects.count() == outcomes[machines.CONFIRMED]
    assert Movement.objects.filter(reason="EXPIRE").count() == outcomes[machines.NOT_CONFIRMED]
    assert outcomes[machines.CONFIRMED]
    assert outcomes[machines.NOT_CONFIRMED]


def one_round(cast: Cast, thing: Product) -> Counter[str]:
    """The final states of a hundred orders, which equal the states in the responses."""
    buyer = cast.owner.user
    numbers = [place_order(actor="", buyer=buyer, lines=[Line(thing.pk, 1)]).number for _ in range(AT_ONCE)]
    orders = list(Order.objects.filter(number__in=numbers).order_by("number"))
    first, last = numbers[0], numbers[-1]
    Order.objects.filter(number__in=numbers).update(confirm_until=Now() + APART * (F("number") - first))
    Order.objects.filter(number=last).update(confirm_until=Now() + LONG)
    told: dict[int, bool] = {}

    def confirm() -> None:
        try:
            for order in orders:
                try:
                    confirm_order(actor="", order=order, token="tok_1")
                    told[order.number] = True
                except Conflict:
                    told[order.number] = False
        finally:
            connections.close_all()

    def expire() -> None:
        try:
            while Order.objects.filter(number__in=numbers, state=machines.PENDING_CONFIRMATION).exists():
                expire_orders()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for work in (confirm, expire)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = dict(Order.objects.filter(number__in=numbers).values_list("number", "state"))
    assert {number: state == machines.CONFIRMED for number, state in states.items()} == told
    return Counter(states.values())
