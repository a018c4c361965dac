"""Actions on orders that have to do with money: confirming one with a card, and ending one that cannot be paid."""

from contextlib import suppress
from datetime import timedelta

from django.db.models.functions import Now

from backend.shop.orders.actions import invalid_transition, release_stock
from backend.shop.orders.models import Order
from backend.shop.payments.models import Payment
from backend.shop.states import machines
from lockstep.changes.attribution import attributed_transaction
from lockstep.delivery import operations
from lockstep.delivery.operations import UnknownSubscription
from lockstep.delivery.reports import ChangeFilter
from lockstep.rest.errors import Conflict

PAYMENTS = "payments"  # the subscription that charges for orders (processor.py)
HIDDEN_SECONDS = 60.0  # until the gateway shows a charge that it has made


def confirm_order(*, actor: str, order: Order, token: str) -> None:
    """Confirms an order with the gateway's token of a card, which a worker charges.

    Raises Conflict for an order in another state, or after its deadline.
    """
    step = machines.ORDER.transition("confirm")
    with attributed_transaction(actor=actor):
        in_time = Order.objects.filter(pk=order.pk, state=step.source, confirm_until__gt=Now())
        if not in_time.update(state=step.target):
            raise invalid_transition("confirm", order)
        Payment.objects.create(order=order, token=token, amount=order.total)


def end_order(*, actor: str, order: Order) -> None:
    """Lets a worker end a confirmed order whose payment cannot be decided.

    Nothing is charged from now on. The worker looks the charge up at the gateway: an order that was charged is
    accepted, and any other one rejected, with its stock back. Dead letters of the order are discarded; ending it again
    replays those of the look-up. Raises Conflict for an order that is not confirmed.
    """
    step = machines.ORDER.transition("end")
    with attributed_transaction(actor=actor):
        # The payment first, as the worker locks them.
        begins = Payment.objects.filter(order=order, decided=None, ending=None).update(ending=Now(), token="")
        # This change, in the order's own lane, wakes the worker.
        if not Order.objects.filter(pk=order.pk, state=step.source).update(reason="Staff are ending this order."):
            raise invalid_transition("end", order)
        if begins:
            _discard_letters(order)
        else:
            with suppress(UnknownSubscription):
                operations.replay_letters(ChangeFilter(PAYMENTS, object_id=str(order.pk)))


def end_order_unanswered(*, actor: str, order: Order) -> None:
    """Rejects an order that staff are ending although the gateway does not tell whether it was charged.

    The worker continues its look-ups: a charge that appears later is a dead letter, which says to refund it. Raises
    Conflict within HIDDEN_SECONDS after `end_order`: until then a charge may be under way.
    """
    reason = "The payment gateway did not answer; staff ended the order."
    with attributed_transaction(actor=actor):
        waited = Payment.objects.filter(
            order=order, decided=None, ending__lte=Now() - timedelta(seconds=HIDDEN_SECONDS)
        )
        if not waited.update(decided=Now(), reason=reason):
            raise Conflict(
                f"The order must be CONFIRMED, and staff must have ended it at least {HIDDEN_SECONDS:.0f} s before."
            )
        release_stock("end", [order.pk], reason)
        _discard_letters(order)


def _discard_letters(order: Order) -> None:
    """Settles the dead letters of an order's payment. There is no subscription before the first worker."""
    with suppress(UnknownSubscription):
        selection = ChangeFilter(PAYMENTS, object_id=str(order.pk))
        operations.discard_letters(selection, reason=f"Staff ended order {order.number}.")
