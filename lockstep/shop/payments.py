"""How a confirmed order is paid: a worker charges the gateway, once or not at all.

1. Confirming an order leaves a payment with a token of the card, in the transaction of the order's change.
2. The change reaches the subscriber here. It charges the token under the payment's id, under which the gateway charges
   once however often it is asked: after a kill, a time-out or a repeat the same is asked again, and never guessed.
3. Paid: the order is ACCEPTED. Declined: it is REJECTED, and its stock is back. Undecided: it waits, and is asked for
   again. What the gateway refuses to charge at all is a dead letter; the order is CONFIRMED until staff end it.
4. Ended by staff: nothing is charged any more. What the gateway has charged all the same decides: then the order is
   ACCEPTED, and else REJECTED. Where the gateway never answers, staff reject it without that. A charge that shows only
   after that is a dead letter: it has to be refunded there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from lockstep.api.errors import Invalid, Unavailable
from lockstep.changes.sql_file import load
from lockstep.delivery import errors as delivery
from lockstep.delivery.subscriptions import Claim, Handler, Pool, Skipped, Subscriber
from lockstep.mirror.failures import provider_errors_as_delivery_errors
from lockstep.providers.errors import ProviderError, Unreachable
from lockstep.providers.payments import Card, CardRefused, Charge, PaymentGateway, tokenise
from lockstep.shop import actions, machines
from lockstep.shop.actions import SQL as ORDERS
from lockstep.shop.actions import giving_back

SQL = load(Path(__file__).parent / "sql" / "payments.sql")
CURRENCY = "EUR"
CARD_SECONDS = 5.0  # what the buyer waits for the gateway
CHARGE_SECONDS = 10.0


def token_of(*, card_number: str, expiry: str, cvc: str) -> str:
    """What stands for a card at the gateway. Raises Invalid for one that it refuses, and Unavailable."""
    try:
        return tokenise(settings.PAYMENTS_URL, Card(card_number, expiry, cvc), CARD_SECONDS)
    except CardRefused as refused:
        raise Invalid({f"payment.{refused.field}": refused.detail}) from None
    except ProviderError as error:
        raise Unavailable(
            "The payment gateway does not answer right now. Nothing was changed; try again in a moment.", retry_after=2
        ) from error


class Cashier:
    """Sees to it that confirmed orders are paid. One at a time for each order: the caller holds its lane."""

    def __init__(self, gateway: PaymentGateway, pool: Pool) -> None:
        self.gateway = gateway
        self.pool = pool

    async def deliver(self, claim: Claim) -> Skipped | None:
        """Charges for an order that is CONFIRMED, and for no other. Raises delivery errors."""
        after = claim.change.after
        order = claim.change.object_id
        if after is not None and after["state"] == machines.REJECTED and await self._look_for_late_charge(order):
            return None
        waiting = await self._waiting(order) if after and after["state"] == machines.CONFIRMED else None
        if waiting is None:
            return Skipped("there is nothing to charge")
        key, token, amount, ending = waiting
        if amount == 0:
            await self._accept(order, charge="")
            return Skipped("it costs nothing")
        await self._charge_or_end(claim, order, key, token, amount, ending)
        return None

    async def _charge_or_end(
        self, claim: Claim, order: str, key: str, token: str, amount: Decimal, ending: float | None
    ) -> None:
        if ending is None:
            await self._settle(order, amount, await self._charge(claim, token, amount, key))
        elif charge := await self._look_up(key):
            await self._settle(order, amount, charge)
        elif ending < actions.HIDDEN_SECONDS:
            raise delivery.NotYet("staff end it; the payment gateway may still show a charge")
        else:
            await self._reject(
                "end", order, charge="", reason="The payment could not be decided; staff ended the order."
            )

    async def _settle(self, order: str, amount: Decimal, charge: Charge) -> None:
        """Does with the order what the gateway decided of its charge. Raises delivery errors."""
        if charge.status == "pending":
            raise delivery.NotYet("the payment gateway has not decided yet")
        if charge.amount != amount:
            raise delivery.Refused(f"the gateway charged {charge.amount} for {amount}")
        if charge.status == "approved":
            await self._accept(order, charge=charge.id)
        else:
            await self._reject("reject", order, charge=charge.id, reason=charge.reason or "declined")

    async def _look_for_late_charge(self, order: str) -> bool:
        """Raises Refused for an order that staff ended and that the gateway charged all the same.

        A charge that is not decided yet is asked for again: it is no charge if it is declined. Returns whether the
        gateway was asked.
        """
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SQL["ended"], {"order": order})
            row = await cursor.fetchone()
        charge = await self._look_up(row[0]) if row else None
        if charge and charge.status == "pending":
            raise delivery.NotYet("the payment gateway has not decided yet")
        if charge and charge.status == "approved":
            await self._refuse_late_charge(order, charge.id)
        return row is not None

    async def _refuse_late_charge(self, order: str, charge: str) -> None:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SQL["note_late_charge"], {"order": order, "charge": charge})
        if cursor.rowcount:
            raise delivery.Refused(f"charge {charge} was made although the order was ended: refund it at the gateway")

    async def _look_up(self, key: str) -> Charge | None:
        with provider_errors_as_delivery_errors():
            return await self.gateway.look_up(key)

    async def _charge(self, claim: Claim, token: str, amount: Any, key: str) -> Charge:  # noqa: ANN401 - a decimal
        """What became of the charge. After a first try it is looked up, and asked for anew where there is none."""
        with provider_errors_as_delivery_errors():
            try:
                known = await self.gateway.look_up(key) if claim.attempts else None
                return known or await self.gateway.charge(token, amount, CURRENCY, key)
            except Unreachable as error:
                if error.maybe_applied:  # it took the charge and kept silent: that is this order's trouble alone
                    raise delivery.TryAgain(str(error)) from error
                raise

    async def _waiting(self, order: str) -> tuple[str, str, Decimal, float | None] | None:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SQL["waiting"], {"order": order})
            row: tuple[str, str, Decimal, float | None] | None = await cursor.fetchone()
            return row

    async def _accept(self, order: str, *, charge: str) -> None:
        if not await self._decide(order, charge, "", SQL["accept"], {"order": order}):
            await self._refuse_late_charge(order, charge)

    async def _reject(self, step: str, order: str, *, charge: str, reason: str) -> None:
        await self._decide(order, charge, reason, ORDERS["give_back"], giving_back(step, [UUID(order)], reason))

    async def _decide(self, order: str, charge: str, reason: str, statement: str, parameters: dict[str, Any]) -> bool:
        """Decides a payment and its order together; whether it was still to be decided."""
        async with self.pool.connection() as connection, connection.transaction():
            decided = {"order": order, "charge": charge, "reason": reason}
            cursor = await connection.execute(SQL["decide"], decided)
            decides = await cursor.fetchone() is not None
            if decides:
                await connection.execute(statement, parameters)
            return decides


@asynccontextmanager
async def _connect(pool: Pool) -> AsyncIterator[Handler]:
    if not settings.PAYMENTS_URL:
        yield _nobody_to_ask
        return
    async with PaymentGateway(settings.PAYMENTS_URL, deadline=CHARGE_SECONDS) as gateway:
        yield Cashier(gateway, pool).deliver


async def _nobody_to_ask(claim: Claim) -> None:
    if claim.change.after and claim.change.after["state"] == machines.CONFIRMED:
        raise delivery.Unreachable("there is no payment gateway: set PAYMENTS_URL")


CASHIER = Subscriber(name=actions.PAYMENTS, kind="event", models=("shop.order",), connect=_connect, recorded=True)
