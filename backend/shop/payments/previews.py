"""What ending an order would do, and how its payment stands, in sentences for staff."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from backend.shop.orders.models import Order
from backend.shop.payments import actions
from backend.shop.payments.models import Payment
from backend.shop.states import machines
from lockstep.console.words import clock
from lockstep.models import DeadLetter, Lane

CONFIRMED = machines.ORDER.transition("end").source


@dataclass(frozen=True, slots=True)
class EndingPreview:
    """What would become of one order; `is_possible` is False where nothing would change."""

    order: Order
    sentence: str
    is_possible: bool


def preview_endings(orders: Sequence[Order], *, unanswered: bool) -> list[EndingPreview]:
    """What `end_order`, or else `end_order_unanswered`, would do to each of these orders: one query."""
    payments: Mapping[UUID, Payment] = {each.order_id: each for each in Payment.objects.filter(order__in=orders)}
    preview = _unanswered if unanswered else _ending
    return [EndingPreview(order, *preview(order, payments.get(order.pk))) for order in orders]


def payment_sentences(order: Order) -> list[str]:
    """How the payment of an order stands, and why it is not decided."""
    payment = Payment.objects.filter(order=order).first()
    if payment is None:
        return ["There is no payment: it was accepted without one, or not confirmed with a card."]
    now = timezone.now()
    found = [f"{payment.amount:,} by card, since {clock(payment.created, now)}."]
    if payment.charge:
        found.append(f"The gateway's id of the charge is {payment.charge}.")
    if payment.decided:
        why = payment.reason.rstrip(". ") or "it is paid"
        return [*found, f"Decided at {clock(payment.decided, now)}: {why}."]
    if payment.ending:
        found.append(f"Staff end it since {clock(payment.ending, now)}: a worker looks the charge up.")
    return [*found, *_undecided(order)]


def _undecided(order: Order) -> list[str]:
    """Why a worker has not decided the payment yet."""
    own = {"subscription_id": actions.PAYMENTS, "model": Order._meta.label_lower, "object_id": str(order.pk)}
    if letter := DeadLetter.objects.filter(**own, outcome=None).order_by("-died").first():
        return [f"It cannot be decided by itself; a dead letter says: {letter.cause}"]
    lane = Lane.objects.filter(**own).first()
    if lane and lane.failure:
        return [f"Not decided yet. The last attempt failed: {lane.cause or lane.failure}"]
    return ["Not decided yet: a worker is about to."]


def _ending(order: Order, payment: Payment | None) -> tuple[str, bool]:
    if order.state != CONFIRMED:
        return f"It is {order.state}: only a confirmed order can be ended.", False
    if payment and payment.ending and not payment.decided:
        return "Staff are ending it already. Dead letters of the look-up are replayed.", True
    return (
        "Nothing is charged from now on. A worker looks its charge up at the gateway: if it was charged it is accepted,"
        " else it is rejected and its stock is back. Dead letters of its payment are discarded.",
        True,
    )


def _unanswered(order: Order, payment: Payment | None) -> tuple[str, bool]:
    if order.state != CONFIRMED or payment is None or payment.decided:
        return f"It is {order.state}: only a confirmed order can be ended.", False
    if not payment.ending:
        return "Staff have not ended it yet: end it first, so that a worker looks its charge up.", False
    if payment.ending > timezone.now() - timedelta(seconds=actions.HIDDEN_SECONDS):
        return (
            f"Staff must have ended it at least {actions.HIDDEN_SECONDS:.0f} s before: a charge may be under way.",
            False,
        )
    return (
        "It is rejected although the gateway does not tell whether it was charged, and its stock is back. A charge that"
        " shows later is a dead letter of payments: it must be refunded.",
        True,
    )
