"""Payment of confirmed orders: a worker charges the card through the gateway, once or not at all.

1. Confirming an order stores a payment with a token of the card, in the transaction of the order's change.
2. The subscriber receives the change. It charges the token under the payment's id, which makes the charge idempotent
   at the gateway: after a kill, a time-out or a repeat it sends the same request again.
3. Paid: the order is ACCEPTED. Declined: it is REJECTED, and its stock is released. Pending: it is retried. A refused
   charge is a dead letter; the order stays CONFIRMED until staff end it.
4. Ended by staff: nothing is charged any more. If the gateway has charged all the same, the order is ACCEPTED, else
   REJECTED. If the gateway never answers, staff reject the order. A charge that appears only after that is a dead
   letter: it must be refunded at the gateway.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from uuid import UUID

from django.conf import settings

from backend.providers.payments import Charge, PaymentGateway
from backend.shop.orders.actions import SQL as ORDERS
from backend.shop.orders.actions import release_stock_params
from backend.shop.payments import actions
from backend.shop.states import machines
from lockstep.delivery import errors as delivery
from lockstep.delivery.subscriptions import Claim, Handler, Pool, Skipped, Subscriber
from lockstep.http.errors import Unreachable
from lockstep.mirror.failures import provider_errors_as_delivery_errors
from lockstep.sql import statements

SQL = statements(__file__, "payments")
CURRENCY = "EUR"
CHARGE_SECONDS = 10.0


class PaymentProcessor:
    """Charges for confirmed orders. The caller holds the order's lane, so that there is one attempt at a time."""

    def __init__(self, gateway: PaymentGateway, pool: Pool) -> None:
        self.gateway = gateway
        self.pool = pool

    async def deliver(self, claim: Claim) -> Skipped | None:
        """Charges for a CONFIRMED order, and for no other. Raises delivery errors."""
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
            raise delivery.DependencyPending("staff end it; the payment gateway may still show a charge")
        else:
            await self._reject(
                "end", order, charge="", reason="The payment could not be decided; staff ended the order."
            )

    async def _settle(self, order: str, amount: Decimal, charge: Charge) -> None:
        """Accepts or rejects the order by the status of its charge. Raises delivery errors."""
        if charge.status == "pending":
            raise delivery.DependencyPending("the payment gateway has not decided yet")
        if charge.amount != amount:
            raise delivery.Rejected(f"the gateway charged {charge.amount} for {amount}")
        if charge.status == "approved":
            await self._accept(order, charge=charge.id)
        else:
            await self._reject("reject", order, charge=charge.id, reason=charge.reason or "declined")

    async def _look_for_late_charge(self, order: str) -> bool:
        """Raises Rejected for an order that staff ended and that the gateway charged all the same.

        A pending charge is looked up again, because it may be declined. Returns whether there was a look-up.
        """
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SQL["ended"], {"order": order})
            row = await cursor.fetchone()
        charge = await self._look_up(row[0]) if row else None
        if charge and charge.status == "pending":
            raise delivery.DependencyPending("the payment gateway has not decided yet")
        if charge and charge.status == "approved":
            await self._refuse_late_charge(order, charge.id)
        return row is not None

    async def _refuse_late_charge(self, order: str, charge: str) -> None:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(SQL["note_late_charge"], {"order": order, "charge": charge})
        if cursor.rowcount:
            raise delivery.Rejected(f"charge {charge} was made although the order was ended: refund it at the gateway")

    async def _look_up(self, key: str) -> Charge | None:
        with provider_errors_as_delivery_errors():
            return await self.gateway.look_up(key)

    async def _charge(self, claim: Claim, token: str, amount: Decimal, key: str) -> Charge:
        """The charge. After a first attempt it is looked up, and requested again if there is none."""
        with provider_errors_as_delivery_errors():
            try:
                known = await self.gateway.look_up(key) if claim.attempts else None
                return known or await self.gateway.charge(token, amount, CURRENCY, key)
            except Unreachable as error:
                if error.outcome_unknown:  # the gateway may have charged: only this order must wait
                    raise delivery.RetryLater(str(error)) from error
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
        await self._decide(
            order, charge, reason, ORDERS["release_stock"], release_stock_params(step, [UUID(order)], reason)
        )

    async def _decide(
        self, order: str, charge: str, reason: str, statement: str, parameters: dict[str, object]
    ) -> bool:
        """Decides a payment and its order together. Returns whether the payment was undecided."""
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
        yield _refuse_without_gateway
        return
    async with PaymentGateway(settings.PAYMENTS_URL, deadline=CHARGE_SECONDS) as gateway:
        yield PaymentProcessor(gateway, pool).deliver


async def _refuse_without_gateway(claim: Claim) -> None:
    if claim.change.after and claim.change.after["state"] == machines.CONFIRMED:
        raise delivery.Unreachable("there is no payment gateway: set PAYMENTS_URL")


PAYMENTS = Subscriber(name=actions.PAYMENTS, kind="event", models=("shop.order",), connect=_connect, recorded=True)
