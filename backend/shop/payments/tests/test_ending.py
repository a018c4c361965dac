"""Staff end an order whose payment cannot be decided: what the gateway has charged decides what becomes of it."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from backend.providers.payments import PaymentGateway
from backend.shop.conftest import MakeProduct
from backend.shop.models import Movement, Order, Payment, Product
from backend.shop.orders.actions import Line, place_order
from backend.shop.payments import actions, processor
from backend.shop.payments.actions import confirm_order, end_order
from backend.shop.payments.cards import tokenise_card
from backend.shop.payments.processor import PAYMENTS, PaymentProcessor
from devstack.sandbox.payments import Delays, StandIn, card_behaviours
from lockstep.changes.models import LoggedChange
from lockstep.delivery.database import open_pool
from lockstep.delivery.errors import DependencyPending, Rejected, Unreachable
from lockstep.delivery.models import DeadLetter
from lockstep.delivery.subscriptions import Change, Claim
from lockstep.http.errors import ProviderError
from lockstep.rest.errors import Conflict
from tests.support import BackgroundWorker, Cast, eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LONG = 600.0
SILENT = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture
def gateway(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(actions, "HIDDEN_SECONDS", 0.0)
    with StandIn(delays=Delays(silence=0.0, hidden=LONG, undecided=2 * LONG)) as server:
        settings.PAYMENTS_URL = server.url
        yield server


def confirmed(cast: Cast, product: MakeProduct, token: str = "tok_unknown") -> Order:
    thing = product("thing")
    number = place_order(actor="", buyer=cast.owner.user, lines=[Line(thing.pk, 2)]).number
    order = Order.objects.get(number=number)
    confirm_order(actor="", order=order, token=token)
    return order


def token(settings: Any, number: str) -> str:
    return tokenise_card(card_number=number, expiry="12/40", cvc="123")


def deliver(url: str, order: Order, kind: str = "CONFIRMED") -> None:
    """One delivery of the order's latest change to this state. Raises delivery errors."""
    change = LoggedChange.objects.filter(object_id=str(order.pk), after__state=kind).order_by("-seq")[0]
    logged = Change(change.seq, change.at, change.model, change.object_id, "updated", change.before, change.after)

    async def run() -> None:
        async with PaymentGateway(url, deadline=5.0) as gateway, open_pool(1) as pool:
            await PaymentProcessor(gateway, pool).deliver(
                Claim(lane=1, token=1, attempts=0, message_id=uuid4(), change=logged)
            )

    asyncio.run(run())


def outcome(order: Order) -> tuple[str, int]:
    """The order's state, and the product's stock."""
    order.refresh_from_db()
    return order.state, Product.objects.get().stock


def test_order_that_the_gateway_refuses_is_ended_by_staff(
    cast: Cast, product: MakeProduct, gateway: StandIn, worker: BackgroundWorker
):
    order = confirmed(cast, product)
    worker.subscribers = [PAYMENTS]
    worker.start()
    eventually(DeadLetter.objects.exists)
    assert outcome(order) == ("CONFIRMED", 8)
    client = Client()
    client.force_login(cast.staff.user)
    form = {"action": "end_orders", "_selected_action": [str(order.pk)], "confirmed": "yes"}
    page = client.post("/admin/shop/order/", form, follow=True)
    assert f"Order {order.number}: a worker looks its charge up" in page.content.decode()
    eventually(lambda: outcome(order) == ("REJECTED", 10))
    order.refresh_from_db()
    assert order.reason == "The payment could not be decided; staff ended the order."
    assert [(one.delta, one.reason) for one in Movement.objects.filter(reason="END")] == [(2, "END")]
    assert Payment.objects.get().decided
    letter = DeadLetter.objects.get()
    assert (letter.outcome, letter.reason) == ("discarded", f"Staff ended order {order.number}.")
    with pytest.raises(Conflict, match="REJECTED"):
        end_order(actor="", order=order)


def test_nothing_is_charged_once_staff_end_an_order(cast: Cast, product: MakeProduct, gateway: StandIn, settings: Any):
    order = confirmed(cast, product, token(settings, card_behaviours.PAYS))
    end_order(actor="", order=order)
    deliver(gateway.url, order)
    assert outcome(order) == ("REJECTED", 10)
    assert gateway.charges() == []
    deliver(gateway.url, order)
    deliver(gateway.url, order, "REJECTED")
    assert outcome(order) == ("REJECTED", 10)


def test_ending_waits_as_long_as_the_gateway_may_hide_a_charge(
    cast: Cast, product: MakeProduct, gateway: StandIn, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(actions, "HIDDEN_SECONDS", 60.0)
    order = confirmed(cast, product)
    end_order(actor="", order=order)
    with pytest.raises(DependencyPending):
        deliver(gateway.url, order)
    assert outcome(order) == ("CONFIRMED", 8)
    Payment.objects.update(ending="2026-01-01T00:00Z")
    deliver(gateway.url, order)
    assert outcome(order) == ("REJECTED", 10)


def test_a_charge_shown_by_the_gateway_decides(cast: Cast, product: MakeProduct, gateway: StandIn, settings: Any):
    """The worker died after the charge; the order is ended, and the charge is found under the payment's key."""
    order = confirmed(cast, product, token(settings, card_behaviours.PAYS))
    charge_past_the_worker(gateway, Payment.objects.get())
    end_order(actor="", order=order)
    deliver(gateway.url, order)
    assert outcome(order) == ("ACCEPTED", 8)
    assert order.reason == ""
    assert Payment.objects.get().charge == gateway.charges()[0]["id"]


def test_order_of_a_gateway_that_never_answers_is_ended_without_it(
    cast: Cast, product: MakeProduct, gateway: StandIn, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(actions, "HIDDEN_SECONDS", 60.0)
    order = confirmed(cast, product, token(settings, card_behaviours.PAYS))
    payment = Payment.objects.get()
    with pytest.raises(CommandError, match="at least 60 s before"):
        call_command("end_order", order.number, without_answer=True)
    end_order(actor="", order=order)
    with pytest.raises(CommandError, match="at least 60 s before"):
        call_command("end_order", order.number, without_answer=True)
    with pytest.raises(Unreachable):
        deliver(SILENT, order)
    assert outcome(order) == ("CONFIRMED", 8)
    Payment.objects.update(ending="2026-01-01T00:00Z")
    client = Client()
    client.force_login(cast.staff.user)
    form = {"action": "end_orders_unanswered", "_selected_action": [str(order.pk)], "confirmed": "yes"}
    page = client.post("/admin/shop/order/", form, follow=True)
    assert f"Order {order.number}: rejected" in page.content.decode()
    assert outcome(order) == ("REJECTED", 10)
    assert order.reason == "The payment gateway did not answer; staff ended the order."
    deliver(SILENT, order)  # an already settled request makes no call
    with pytest.raises(Unreachable):
        deliver(SILENT, order, "REJECTED")
    charge_past_the_worker(gateway, payment)
    with pytest.raises(Rejected, match="refund it at the gateway"):
        deliver(gateway.url, order, "REJECTED")
    assert outcome(order) == ("REJECTED", 10)


def test_ending_again_queries_the_gateway_again(
    cast: Cast,
    product: MakeProduct,
    gateway: StandIn,
    settings: Any,
    worker: BackgroundWorker,
):
    settings.PAYMENTS_URL = SILENT
    order = confirmed(cast, product)
    worker.subscribers, worker.schedule = [PAYMENTS], (0.0,)
    worker.start()
    unsettled = DeadLetter.objects.filter(outcome=None)
    eventually(unsettled.exists)
    end_order(actor="", order=order)
    eventually(unsettled.exists)
    end_order(actor="", order=order)
    eventually(DeadLetter.objects.filter(outcome="replayed").exists)
    assert outcome(order) == ("CONFIRMED", 8)


def test_late_answer_accepts_nothing_and_is_a_dead_letter(
    cast: Cast, product: MakeProduct, gateway: StandIn, settings: Any
):
    order = confirmed(cast, product, token(settings, card_behaviours.PAYS))
    payment = Payment.objects.get()
    end_order(actor="", order=order)
    deliver(gateway.url, order)
    charge_past_the_worker(gateway, payment)
    with pytest.raises(Rejected, match="refund it at the gateway"):
        deliver(gateway.url, order, "REJECTED")
    assert outcome(order) == ("REJECTED", 10)
    assert Payment.objects.get().charge == gateway.charges()[0]["id"]


@pytest.mark.parametrize("card", [card_behaviours.DECIDES_LATE, card_behaviours.DECLINES_LATE])
def test_late_charge_is_refunded_only_once_it_is_decided(
    cast: Cast, product: MakeProduct, gateway: StandIn, settings: Any, card: str
):
    order = confirmed(cast, product, token(settings, card))
    payment = Payment.objects.get()
    end_order(actor="", order=order)
    deliver(gateway.url, order)
    with pytest.raises(ProviderError):  # the gateway takes this card's charge, and never answers
        charge_past_the_worker(gateway, payment)
    gateway.skip(LONG)
    with pytest.raises(DependencyPending):
        deliver(gateway.url, order, "REJECTED")
    assert Payment.objects.get().charge == ""
    gateway.skip(LONG)
    if card == card_behaviours.DECIDES_LATE:
        with pytest.raises(Rejected, match="refund it at the gateway"):
            deliver(gateway.url, order, "REJECTED")
    else:
        deliver(gateway.url, order, "REJECTED")
    assert bool(Payment.objects.get().charge) == (card == card_behaviours.DECIDES_LATE)


def charge_past_the_worker(gateway: StandIn, payment: Payment) -> None:
    async def run() -> None:
        async with PaymentGateway(gateway.url, deadline=5.0) as client:
            await client.charge(payment.token, payment.amount, processor.CURRENCY, str(payment.pk))

    asyncio.run(run())


def test_command_names_orders_that_it_cannot_end(cast: Cast, product: MakeProduct, gateway: StandIn):
    order = confirmed(cast, product)
    call_command("end_order", order.number)
    assert Payment.objects.get().ending
    with pytest.raises(CommandError, match="There is no order 999"):
        call_command("end_order", 999_999)
    Order.objects.filter(pk=order.pk).update(state="ACCEPTED")
    with pytest.raises(CommandError, match="ACCEPTED"):
        call_command("end_order", order.number)


def test_staff_without_the_permission_end_nothing(cast: Cast, product: MakeProduct, gateway: StandIn):
    order = confirmed(cast, product)
    cast.staff.user.is_superuser = False
    cast.staff.user.save()
    client = Client()
    client.force_login(cast.staff.user)
    form = {"action": "end_orders", "_selected_action": [str(order.pk)], "confirmed": "yes"}
    client.post("/admin/shop/order/", form, follow=True)
    assert Payment.objects.get().ending is None
