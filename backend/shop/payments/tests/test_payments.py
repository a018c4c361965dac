"""Payment: money is taken once or not at all, whatever the gateway's mood and wherever a worker dies."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from backend.providers.payments import PaymentGateway
from backend.shop.conftest import MakeProduct
from backend.shop.models import Movement, Order, Payment, Product
from backend.shop.orders.actions import Line, place_order
from backend.shop.payments import processor
from backend.shop.payments.actions import confirm_order
from backend.shop.payments.processor import PAYMENTS, PaymentProcessor
from devstack.sandbox.payments import Delays, StandIn, card_behaviours
from lockstep.changes.models import LoggedChange
from lockstep.delivery.database import open_pool
from lockstep.delivery.errors import DependencyPending, Rejected, RetryLater, Unreachable
from lockstep.delivery.models import DeadLetter
from lockstep.delivery.subscriptions import Change, Claim
from lockstep.rest.models import IdempotencyRecord
from tests.support import BackgroundWorker, Cast, eventually

pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = "/api/v1/orders/"
LONG = 600.0
QUICK = 0.4  # seconds: the deadline of a charge


@pytest.fixture
def gateway(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in that keeps silent for long where it does, and a cashier who does not wait long."""
    monkeypatch.setattr(processor, "CHARGE_SECONDS", QUICK)
    with StandIn(delays=Delays(silence=LONG, hidden=LONG, undecided=2 * LONG)) as server:
        settings.PAYMENTS_URL = server.url
        yield server


def card(number: str = card_behaviours.PAYS, **changes: str) -> dict:
    return {"payment": {"card_number": number, "expiry": "12/40", "cvc": "123"} | changes}


def placed(cast: Cast, product: MakeProduct, **columns: object) -> Order:
    thing = product("thing", **columns)
    number = place_order(actor="", buyer=cast.owner.user, lines=[Line(thing.pk, 2)]).number
    return Order.objects.get(number=number)


def confirm(cast: Cast, order: Order, number: str = card_behaviours.PAYS, **changes: str):
    return cast.owner.post(f"{ORDERS}{order.number}/confirm/", card(number, **changes))


def state(order: Order) -> str:
    order.refresh_from_db()
    return order.state


def stock() -> int:
    return Product.objects.get().stock


# --- Confirming -----------------------------------------------------------------------------------------


def test_confirming_leaves_a_payment_and_no_card(
    cast: Cast, product: MakeProduct, gateway: StandIn, caplog: pytest.LogCaptureFixture
):
    order = placed(cast, product)
    with caplog.at_level(logging.DEBUG):
        body, headers = card(), {"idempotency-key": "once"}
        path = f"{ORDERS}{order.pk}/confirm/"
        answers = [
            cast.owner.client.post(path, body, content_type="application/json", headers=headers) for _ in range(2)
        ]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].content == answers[1].content
    assert answers[0].json()["state"] == "CONFIRMED"
    payment = Payment.objects.get()
    assert (payment.order_id, payment.amount) == (order.pk, Decimal("5.00"))
    assert gateway.charges() == []
    everything = [caplog.text, *(str(row) for row in LoggedChange.objects.values_list("before", "after"))]
    everything += [str(vars(row)) for row in (payment, IdempotencyRecord.objects.get(), Order.objects.get())]
    assert not any(card_behaviours.PAYS in text or "4242" in text for text in everything)
    assert payment.token.startswith("tok_")
    assert not any(payment.token in text for text in everything[:-3])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"card_number": "4242424242424241"}, "payment.card_number"),
        ({"card_number": "not a number"}, "payment.card_number"),
        ({"expiry": "01/20"}, "payment.expiry"),
        ({"expiry": "tomorrow"}, "payment.expiry"),
        ({"cvc": "1"}, "payment.cvc"),
        ({"owner": "me"}, "payment.owner"),
    ],
)
def test_a_card_that_is_refused_changes_nothing(
    cast: Cast, product: MakeProduct, gateway: StandIn, changes: dict, field: str
):
    order = placed(cast, product)
    answer = cast.owner.post(f"{ORDERS}{order.number}/confirm/", {"payment": card()["payment"] | changes})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert state(order) == "PENDING_CONFIRMATION"


def test_a_gateway_that_does_not_answer_is_reported_and_changes_nothing(cast: Cast, product: MakeProduct):
    order = placed(cast, product)
    answer = confirm(cast, order)
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert "gateway" in answer.json()["detail"]
    assert state(order) == "PENDING_CONFIRMATION"


def test_an_order_is_confirmed_once_and_in_time(cast: Cast, product: MakeProduct, gateway: StandIn):
    order = placed(cast, product)
    assert confirm(cast, order).status_code == 200
    assert confirm(cast, order).status_code == 409
    assert cast.owner.post(f"{ORDERS}{order.number}/cancel/", {}).status_code == 409
    late = placed(cast, product)
    Order.objects.filter(pk=late.pk).update(confirm_until="2026-01-01T00:00Z")
    answer = confirm(cast, late)
    assert (answer.status_code, answer.json()["detail"]) == (409, "The time to confirm this order is over.")
    assert Payment.objects.count() == 1


# --- Paying ---------------------------------------------------------------------------------------------


@pytest.fixture
def cashier(worker: BackgroundWorker, gateway: StandIn) -> StandIn:
    """The gateway, with a worker that charges it."""
    worker.subscribers, worker.schedule = [PAYMENTS], (0.0, *[0.05] * 20)
    worker.start()
    return gateway


@pytest.mark.parametrize(
    ("number", "final"),
    [
        (card_behaviours.PAYS, "ACCEPTED"),
        (card_behaviours.IS_DECLINED, "REJECTED"),
        (card_behaviours.LACKS_FUNDS, "REJECTED"),
        (card_behaviours.LOSES_THE_ANSWER, "ACCEPTED"),
        (card_behaviours.LOSES_THE_REQUEST, "ACCEPTED"),
        (card_behaviours.CUTS_THE_LINE, "ACCEPTED"),
        (card_behaviours.FAILS_TWICE, "ACCEPTED"),
    ],
)
@pytest.mark.slow
def test_an_order_ends_with_every_behaviour_of_the_gateway(
    cast: Cast, product: MakeProduct, cashier: StandIn, number: str, final: str
):
    order = placed(cast, product)
    confirm(cast, order, number)
    eventually(lambda: state(order) == final, f"the order to be {final}")
    charged = [charge for charge in cashier.charges() if charge["status"] == "approved"]
    assert len(cashier.charges()) == 1
    assert len(charged) == (final == "ACCEPTED")
    assert stock() == (8 if final == "ACCEPTED" else 10)
    payment = Payment.objects.get()
    assert (payment.token, payment.charge) == ("", cashier.charges()[0]["id"])
    assert payment.decided
    history = cast.owner.get(f"{ORDERS}{order.number}/").json()["history"]
    assert [step["state"] for step in history] == ["PENDING_CONFIRMATION", "CONFIRMED", final]
    if final == "REJECTED":
        assert history[-1]["reason"] == payment.reason != ""
        assert Movement.objects.get(reason="REJECT").delta == 2


@pytest.mark.parametrize(
    ("number", "final"), [(card_behaviours.DECIDES_LATE, "ACCEPTED"), (card_behaviours.DECLINES_LATE, "REJECTED")]
)
@pytest.mark.slow
def test_order_waits_for_a_gateway_that_decides_late(
    cast: Cast, product: MakeProduct, cashier: StandIn, database: psycopg.Connection, number: str, final: str
):
    order = placed(cast, product)
    confirm(cast, order, number)
    eventually(lambda: cashier.counts().get("GET /charges", 0) >= 2)
    assert state(order) == "CONFIRMED"
    cashier.skip(LONG)
    cashier.skip(LONG)
    eventually(lambda: state(order) == final, f"the order to be {final}")
    assert len(cashier.charges()) == 1
    assert not DeadLetter.objects.exists()


def test_a_charge_that_the_gateway_rejects_is_a_dead_letter(cast: Cast, product: MakeProduct, cashier: StandIn):
    order = placed(cast, product)
    confirm_order(actor="", order=order, token="tok_unknown")
    letter = eventually(DeadLetter.objects.first)
    assert letter.subscription_id == "payments"
    assert state(order) == "CONFIRMED"
    assert cashier.charges() == []


def test_an_order_of_no_cost_is_not_charged(cast: Cast, product: MakeProduct, cashier: StandIn):
    order = placed(cast, product, price=0)
    confirm(cast, order)
    eventually(lambda: state(order) == "ACCEPTED")
    assert cashier.charges() == []


def test_other_orders_do_not_wait_for_one(cast: Cast, product: MakeProduct, cashier: StandIn):
    stuck, quick = placed(cast, product), placed(cast, lambda *a, **k: Product.objects.get())
    confirm(cast, stuck, card_behaviours.DECIDES_LATE)
    confirm(cast, quick)
    eventually(lambda: state(quick) == "ACCEPTED")
    assert state(stuck) == "CONFIRMED"


# --- A worker that dies ---------------------------------------------------------------------------------


class Killed(BaseException):
    """The worker is gone, here."""


class Mortal:
    """Calls through, and dies before or after the n-th call that leaves the process."""

    def __init__(self, step: int) -> None:
        self.left = step

    def passes(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    async def around(self, call: Callable[[], Any]) -> Any:
        self.passes()
        answer = await call()
        self.passes()
        return answer


class MortalGateway:
    def __init__(self, gateway: PaymentGateway, life: Mortal) -> None:
        self.gateway, self.life = gateway, life

    async def charge(self, *arguments: Any) -> Any:
        return await self.life.around(lambda: self.gateway.charge(*arguments))

    async def look_up(self, key: str) -> Any:
        return await self.life.around(lambda: self.gateway.look_up(key))


class MortalProcessor(PaymentProcessor):
    life: Mortal

    async def _waiting(self, order: str) -> Any:
        return await self.life.around(lambda: super(MortalProcessor, self)._waiting(order))

    async def _decide(self, *arguments: Any) -> None:
        await self.life.around(lambda: super(MortalProcessor, self)._decide(*arguments))


@asynccontextmanager
async def mortal(url: str, step: int) -> AsyncIterator[MortalProcessor]:
    async with PaymentGateway(url, deadline=QUICK) as gateway, open_pool(2) as pool:
        cashier = MortalProcessor(MortalGateway(gateway, Mortal(step)), pool)  # type: ignore[arg-type]
        cashier.life = cashier.gateway.life  # type: ignore[attr-defined]
        yield cashier


def claim_of(order: Order, attempts: int) -> Claim:
    change = LoggedChange.objects.get(object_id=str(order.pk), after__state="CONFIRMED")
    logged = Change(change.seq, change.at, change.model, change.object_id, "updated", change.before, change.after)
    return Claim(lane=1, token=1, attempts=attempts, message_id=uuid4(), change=logged)


def deliver(url: str, order: Order, attempts: int = 0, *, dies_at: int = 1_000) -> None:
    """One delivery by a cashier who dies at this step, which is one of many. Raises delivery errors, and Killed."""
    claim = claim_of(order, attempts)

    async def run() -> None:
        async with mortal(url, dies_at) as cashier:
            await cashier.deliver(claim)

    asyncio.run(run())


def live(url: str, order: Order, attempts: int, step: int = 1_000) -> None:
    """The same, whose end may be any that is tried again."""
    with suppress(Killed, RetryLater, DependencyPending):
        deliver(url, order, attempts, dies_at=step)


@pytest.mark.slow
@pytest.mark.parametrize("number", list(card_behaviours.CARDS))
def test_killed_anywhere_it_is_paid_once_or_not_at_all(cast: Cast, product: MakeProduct, gateway: StandIn, number: str):
    """Each life dies one step later than the one before it; the last one is left to end by itself."""
    order = placed(cast, product)
    confirm(cast, order, number)
    for step in range(12):
        live(gateway.url, order, attempts=step % 2, step=step)
    for _ in range(6):
        gateway.skip(LONG)
        live(gateway.url, order, attempts=1)
    assert state(order) in ("ACCEPTED", "REJECTED")
    assert len(gateway.charges()) == 1
    approved = [charge for charge in gateway.charges() if charge["status"] == "approved"]
    assert len(approved) == (state(order) == "ACCEPTED")
    assert stock() == (8 if approved else 10)


def test_decided_payment_is_not_charged_again(cast: Cast, product: MakeProduct, gateway: StandIn):
    order = placed(cast, product)
    confirm(cast, order)
    for attempts in range(3):
        deliver(gateway.url, order, attempts)
    assert state(order) == "ACCEPTED"
    assert len(gateway.charges()) == 1


def test_unreachable_gateway_leaves_the_order_confirmed(cast: Cast, product: MakeProduct, gateway: StandIn):
    order = placed(cast, product)
    confirm(cast, order)
    with pytest.raises(Unreachable):
        deliver("http://127.0.0.1:9", order)
    assert state(order) == "CONFIRMED"


def test_charge_of_another_amount_is_rejected(cast: Cast, product: MakeProduct, gateway: StandIn):
    order = placed(cast, product)
    confirm(cast, order)
    with pytest.raises(Killed):
        deliver(gateway.url, order, dies_at=3)  # charged, and dies before that is noted
    assert len(gateway.charges()) == 1
    Payment.objects.update(amount="6.00")
    with pytest.raises(Rejected, match="for 6"):
        deliver(gateway.url, order, attempts=1)
    assert state(order) == "CONFIRMED"
