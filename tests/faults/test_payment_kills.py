"""kill -9 of the worker at every step of a payment, with every test card: charged at most once, and the order shows it.

Each step is the end of one worker, in a process of its own; the next worker is not killed. The gateway's charges are
the measure: the order is ACCEPTED exactly if it was charged, REJECTED if it was declined, and a payment that the
gateway refuses to decide is a dead letter, with the order CONFIRMED until an operator ends it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path

import psycopg
import pytest

from backend.shop.models import Order, Payment, Product
from backend.shop.orders.actions import Line, place_order
from backend.shop.payments.actions import confirm_order
from backend.shop.states import machines
from devstack.sandbox.payments import Delays, StandIn, card_behaviours
from lockstep.delivery.models import DeadLetter
from tests.acceptance.running import ROOT
from tests.support import WAIT_TIMEOUT, Cast, database_address

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN = "unknown"  # a token that the gateway never gave
IN_CI = (card_behaviours.CUTS_THE_LINE, UNKNOWN)
DECLINED = {number for number, card in card_behaviours.CARDS.items() if card.reason}
# Where some worker must have died, whatever the card: the test does not pass by missing them.
BEFORE_THE_END = {"handler of CONFIRMED", "after waiting", "before charge", "sent charge", "before lock_claimed"}
STEPS_OF_A_DECISION = {"before decide", "after decide", "after decision", "after delete_empty"}
NEVER_ANSWERS = {
    number for number, card in card_behaviours.CARDS.items() if card.fault in ("answer lost", "request lost")
}
STOCK, TAKEN = 10_000, 2


class Lives:
    """Workers, one after the other."""

    def __init__(self, gateway: StandIn, errors: Path, *, charge_seconds: float) -> None:
        own = {"DATABASE_URL": database_address(), "PAYMENTS_URL": gateway.url, "LOG_LEVEL": "ERROR"}
        own |= {"CHARGE_SECONDS": str(charge_seconds)}
        self.errors = errors
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crashing_payment_processor"],
            cwd=ROOT,
            env={**os.environ, **own, "DJANGO_SETTINGS_MODULE": "backend.config.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors.open("wb"),
            text=True,
            start_new_session=True,
        )

    def live(self, step: int | str = 0) -> str:
        """Where it was killed; nothing when it came to its end."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{step}\n")
        self.process.stdin.flush()
        where, _, code = self.process.stdout.readline().rstrip("\n").rpartition(" ")
        assert code == (f"{-signal.SIGKILL}" if where else "0"), self.errors.read_text()[-3000:]
        return where

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # and the worker that it has forked
        self.process.wait()


@pytest.fixture
def gateway() -> Iterator[StandIn]:
    """It keeps silent for longer than a worker waits, and what is late is first not found, then undecided."""
    with StandIn(delays=Delays(silence=600, hidden=0.5, undecided=0.7)) as server:
        yield server


@pytest.fixture
def lives(gateway: StandIn, database: psycopg.Connection, tmp_path: Path, number: str) -> Iterator[Lives]:
    """An answer is waited for as long as it may take, but for the one that never comes."""
    database.execute("DELETE FROM lockstep_subscription")
    lives = Lives(gateway, tmp_path / "stderr", charge_seconds=0.5 if number in NEVER_ANSWERS else WAIT_TIMEOUT)
    lives.live()  # it has nothing to do, but from now on the subscription is there
    yield lives
    lives.end()


NAMES = {UNKNOWN: "unknown"} | {number: card.name for number, card in card_behaviours.CARDS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("number", IN_CI, ids=NAMES.get)
def test_killed_at_the_named_steps_it_is_charged_once_or_not_at_all(
    cast: Cast, gateway: StandIn, lives: Lives, database: psycopg.Connection, number: str
):
    kill(cast, gateway, lives, database, number, every_step=False)


@pytest.mark.faults
@pytest.mark.parametrize("number", NAMES, ids=NAMES.get)
def test_killed_at_any_step_it_is_charged_once_or_not_at_all(
    cast: Cast, gateway: StandIn, lives: Lives, database: psycopg.Connection, number: str
):
    kill(cast, gateway, lives, database, number, every_step=True)


def kill(
    cast: Cast, gateway: StandIn, lives: Lives, database: psycopg.Connection, number: str, *, every_step: bool
) -> None:
    """Orders until a worker has died at each step for one of them; each order is judged."""
    product = Product.objects.create(owner=cast.owner.user, name="thing", price="2.50", stock=STOCK)
    wanted = BEFORE_THE_END | ({"after dead_letter"} if number == UNKNOWN else STEPS_OF_A_DECISION)

    def killed_at(step: int | str) -> str:
        order = confirmed(cast, product, gateway, number)
        where = lives.live(step)
        time_passes(database)
        lives.live()
        judge(order, gateway, number)
        return where

    died = set(takewhile(bool, map(killed_at, count(1) if every_step else ())))
    # How often the gateway is asked until it has decided is chance, and so is which step has which number: a life may
    # have ended before that number. Each life comes to these, whatever their numbers are.
    died |= {killed_at(step) for step in sorted(wanted - died)}
    assert wanted <= died
    accepted = Order.objects.filter(state=machines.ACCEPTED).count()
    product.refresh_from_db()
    waiting = Order.objects.filter(state=machines.CONFIRMED).count()
    assert product.stock == STOCK - TAKEN * (accepted + waiting)


def confirmed(cast: Cast, product: Product, gateway: StandIn, number: str) -> Order:
    line = Line(product.pk, TAKEN)
    order = Order.objects.get(number=place_order(actor="", buyer=cast.owner.user, lines=[line]).number)
    token = "tok_unknown" if number == UNKNOWN else gateway.token(number)
    confirm_order(actor="", order=order, token=token)
    return order


def time_passes(database: psycopg.Connection) -> None:
    """Ends the leases of the worker that was killed."""
    database.execute("UPDATE lockstep_lane SET next_at = now()")


def judge(order: Order, gateway: StandIn, number: str) -> None:
    order.refresh_from_db()
    payment = Payment.objects.get(order=order)
    charges = gateway.charges()
    assert len({charge["key"] for charge in charges}) == len(charges) <= Payment.objects.count(), "charged twice"
    of_this = [charge for charge in charges if charge["key"] == str(payment.pk)]
    letters = DeadLetter.objects.filter(object_id=str(order.pk)).count()
    if number == UNKNOWN:
        assert (order.state, of_this, letters) == (machines.CONFIRMED, [], 1)
        return
    status, state = ("declined", machines.REJECTED) if number in DECLINED else ("approved", machines.ACCEPTED)
    assert [(charge["status"], charge["id"]) for charge in of_this] == [(status, payment.charge)]
    assert (order.state, letters, payment.token) == (state, 0, "")
