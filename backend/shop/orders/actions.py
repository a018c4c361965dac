"""Actions on orders. Each is one transaction; payment and feeds follow by delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from backend.shop.catalogue.models import Movement
from backend.shop.orders.errors import InsufficientStock, TooManyUnpaid, UnknownProducts
from backend.shop.orders.models import MAX_QUANTITY, Order
from backend.shop.states import machines
from lockstep.changes.attribution import (
    ATTRIBUTED,
    attributed_transaction,
    attribution,
    confirmation_sql,
    notify_on_commit,
    refuse_unless,
)
from lockstep.rest.errors import Conflict, Invalid
from lockstep.rest.fastpath import Row, fetch_all
from lockstep.rest.users import AnyUser
from lockstep.sql import Statement, statements

SQL = statements(__file__, "orders")
BATCH = 500  # orders that expire in one transaction


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity of one product, which its id or number identifies."""

    product: UUID | int
    quantity: int


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """A new order."""

    number: int
    body: bytes  # its representation, as JSON
    version = 1  # of its row


def place_order(
    *, actor: str, buyer: AnyUser, lines: Sequence[Line], final: bool = False, key: UUID | None = None
) -> PlacedOrder:
    """Places an order of all lines or none; lines of the same product are added up. One statement.

    The buyer has ORDER_CONFIRM_SECONDS to confirm it; a `final` one is accepted at once. Raises UnknownProducts,
    Invalid for too many of one product, TooManyUnpaid and InsufficientStock.
    """
    arrays = _arrays(lines)
    [found] = fetch_all(
        _placing(confirmation_sql(actor)),
        {
            **attribution(actor=actor),
            "id": key or uuid7(),
            "buyer": buyer.pk,
            "state": machines.ACCEPTED if final else machines.PENDING_CONFIRMATION,
            "max_quantity": MAX_QUANTITY,
            "most_orders": None if final else settings.UNPAID_ORDERS_PER_USER or None,
            "most_units": None if final else settings.UNPAID_UNITS_PER_USER or None,
            **arrays,
            "seconds": None if final else settings.ORDER_CONFIRM_SECONDS,
        },
        reuse_cursor=True,
    )
    refuse_unless(found["confirmed"], actor)
    if found["number"] is None:
        raise _not_placed(found)
    notify_on_commit()
    return PlacedOrder(found["number"], found["shown"].encode())


@cache
def _placing(confirmed: Statement) -> Statement:
    return SQL["place"].with_parts(attributed=ATTRIBUTED, confirmed=confirmed)


def _arrays(lines: Sequence[Line]) -> dict[str, str]:
    """The lines as array literals: psycopg would look up the type of each list, a twelfth of an order's time."""
    arrays = {
        "products": [str(line.product) if isinstance(line.product, UUID) else "NULL" for line in lines],
        "numbers": [str(line.product) if isinstance(line.product, int) else "NULL" for line in lines],
        "quantities": [str(line.quantity) for line in lines],
    }
    return {name: f"{{{','.join(texts)}}}" for name, texts in arrays.items()}


def _not_placed(found: Row) -> Exception:
    """The reason why the statement `place` has placed nothing."""
    lines = found["lines"]
    if missing := [line["key"] for line in lines if line["id"] is None]:
        return UnknownProducts(missing)
    if excessive := [line for line in lines if line["quantity"] > MAX_QUANTITY]:
        return Invalid({f"lines.{line['index']}": _too_many(line) for line in excessive})
    return TooManyUnpaid(found["excess"]) if found["excess"] else InsufficientStock(lines)


def _too_many(line: Row) -> str:
    return f"At most {MAX_QUANTITY} of one product in one order; the lines of this product sum to {line['quantity']}."


def cancel_order(*, actor: str, order: Order) -> None:
    """Cancels a pending order and releases its stock. Raises Conflict for any other."""
    with attributed_transaction(actor=actor):
        if not release_stock("cancel", [order.pk]):
            raise invalid_transition("cancel", order)


def expire_orders() -> int:
    """Expires all orders past their deadline, in batches. Returns the number expired."""
    _cap_deadlines()
    ended = 0
    while True:
        with attributed_transaction():
            batch = release_stock("expire")
        ended += batch
        if batch < BATCH:
            return ended


def _cap_deadlines() -> None:
    """Limits the deadlines of orders from before the clock stepped back to that of an order placed now."""
    until = Now() + timedelta(seconds=settings.ORDER_CONFIRM_SECONDS)
    later = Order.objects.filter(state=machines.PENDING_CONFIRMATION, confirm_until__gt=until, created__gt=Now())
    if later.exists():
        with attributed_transaction():
            later.update(confirm_until=until)


def release_stock(transition: str, orders: Sequence[UUID] | None = None, reason: str = "") -> int:
    """Ends these orders, or those that are due, and releases their stock. Returns the number ended.

    Orders in another state are skipped.
    """
    return len(fetch_all(SQL["release_stock"], release_stock_params(transition, orders, reason)))


def release_stock_params(transition: str, orders: Sequence[UUID] | None, reason: str = "") -> dict[str, object]:
    """The parameters of the statement `release_stock`."""
    step = machines.ORDER.transition(transition)
    return {
        "orders": None if orders is None else list(orders),
        "source": step.source,
        "target": step.target,
        "reason": reason,
        "movement": Movement.Reason[transition.upper()].value,
        "most": BATCH,
    }


def invalid_transition(transition: str, order: Order) -> Conflict:
    """The error of an order that is in another state than the transition requires, or past its deadline."""
    order.refresh_from_db(fields=["state"])
    step = machines.ORDER.transition(transition)
    if order.state == step.source:
        return Conflict("The time to confirm this order is over.")
    return Conflict(f"The order is {order.state}; {step.name} requires {step.source}.")
