"""Actions of the shop. Each is one transaction; its effects elsewhere (payment, search, feeds) follow by delivery."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from backend.shop import machines
from backend.shop.models import (
    MAX_LINES,
    MAX_QUANTITY,
    Bag,
    BagItem,
    Movement,
    Order,
    Payment,
    Product,
    ProductTag,
    Tag,
)
from lockstep.changes.attribution import (
    ATTRIBUTED,
    attributed_transaction,
    attribution,
    confirmation_sql,
    notify_on_commit,
    refuse_unless,
)
from lockstep.changes.sql_file import load
from lockstep.delivery import operations
from lockstep.delivery.operations import UnknownSubscription
from lockstep.delivery.reports import ChangeFilter
from lockstep.rest import problems
from lockstep.rest.concurrency import ANY_VERSION, Match, lock
from lockstep.rest.entities import AnyUser
from lockstep.rest.errors import Conflict, Invalid
from lockstep.rest.fastpath import Row, fetch_all
from lockstep.rest.violations import violation

SQL = load(Path(__file__).parent / "sql" / "orders.sql")
BATCH = 500  # orders that expire in one transaction
PAYMENTS = "payments"  # the subscription that charges for orders (payments.py)
HIDDEN_SECONDS = 60.0  # until the gateway shows a charge that it has made


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


class InsufficientStock(Conflict):
    """Not enough stock; nothing was ordered."""

    problem = problems.INSUFFICIENT_STOCK

    def __init__(self, found: Sequence[Row], field: str = "lines") -> None:
        super().__init__()
        self.found = found
        self.extensions = {
            "lines": [
                {"product": str(row["id"]), "asked": row["quantity"], "available": row["available"]} for row in found
            ]
        }
        self.errors = [
            {
                "field": f"{field}.{row['index']}",
                "detail": f"Requested: {row['quantity']}, available: {row['available']}.",
            }
            for row in found
            if row["available"] < row["quantity"]
        ]

    def of(self, field: str) -> "InsufficientStock":
        """This error for a route with another field name."""
        return InsufficientStock(self.found, field)


class UnknownProducts(Invalid):
    """The order has products that do not exist, or that its buyer may not see."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__({"lines": f"There is no product {', '.join(missing)}."})
        self.missing = missing


class TooManyUnpaid(Conflict):
    """The buyer's unpaid orders would exceed a limit."""

    def __init__(self, excess: str) -> None:
        limit = settings.UNPAID_ORDERS_PER_USER if excess == "orders" else settings.UNPAID_UNITS_PER_USER
        super().__init__(
            f"Your unpaid orders may be at most {limit} {excess} together. "
            "Confirm or cancel one, or wait until one expires."
        )


class ProductsGone(Conflict):
    """Some products of the bag are no longer sold. Nothing was ordered; read the bag again."""

    def __init__(self, lines: Sequence[Row], unknown: UnknownProducts) -> None:
        super().__init__()
        self.errors = [
            {"field": f"lines.{index}", "detail": f"{line['name']} (product {line['number']}) is no longer sold."}
            for index, line in enumerate(lines)
            if str(line["product"]) in unknown.missing
        ]


# --- Products and tags ----------------------------------------------------------------------------------


def create_product(
    *,
    actor: str,
    owner: AnyUser,
    name: str,
    price: Decimal,
    stock: int = 0,
    description: str = "",
) -> Product:
    """Creates a product, which is on sale at once."""
    with attributed_transaction(actor=actor):
        return Product.objects.create(owner=owner, name=name, price=price, stock=stock, description=description)


def update_product(*, actor: str, product: Product, match: Match = ANY_VERSION, **values: Any) -> None:  # noqa: ANN401 - columns
    """Changes columns of a product; a new stock is a correction in the ledger.

    Raises NotFound, PreconditionFailed.
    """
    with attributed_transaction(actor=actor):
        _lock_product(product, match)
        Product.objects.filter(pk=product.pk).update(**values)


def delete_product(*, actor: str, product: Product, match: Match = ANY_VERSION) -> None:
    """Deletes a product; orders that have it keep their lines. Raises NotFound, PreconditionFailed."""
    with attributed_transaction(actor=actor):
        _lock_product(product, match)
        Product.objects.filter(pk=product.pk).update(deleted=Now())


def _lock_product(product: Product, match: Match) -> None:
    """Locks a product that still has the same owner. Raises NotFound, PreconditionFailed."""
    lock(Product.objects.alive().of(product.owner_id), match, pk=product.pk)


def add_tag(*, actor: str, product: Product, tag: Tag) -> None:
    """Adds a tag to a product; idempotent. Raises NotFound."""
    with attributed_transaction(actor=actor):
        # In the same order as when a tag is renamed.
        lock(Tag.objects.alive(), ANY_VERSION, "There is no such tag.", pk=tag.pk)
        _lock_product(product, ANY_VERSION)
        ProductTag.objects.bulk_create([ProductTag(product=product, tag=tag)], ignore_conflicts=True)


def remove_tag(*, actor: str, product: Product, tag: Tag) -> None:
    """Removes a tag from a product; idempotent. Raises NotFound."""
    with attributed_transaction(actor=actor):
        _lock_product(product, ANY_VERSION)
        ProductTag.objects.alive().filter(product=product, tag=tag).update(deleted=Now())


def create_tag(*, actor: str, name: str, description: str = "") -> Tag:
    """Creates a tag. Raises Invalid for a name in use, in any equal spelling."""
    with attributed_transaction(actor=actor):
        return _saved_unless_taken(Tag(name=name, description=description))


def update_tag(*, actor: str, tag: Tag, match: Match = ANY_VERSION, **values: str) -> None:
    """Changes a tag. Raises NotFound, PreconditionFailed, Invalid."""
    with attributed_transaction(actor=actor):
        locked = lock(Tag.objects.alive(), match, pk=tag.pk)
        for name, value in values.items():
            setattr(locked, name, value)
        _saved_unless_taken(locked)


def delete_tag(*, actor: str, tag: Tag, match: Match = ANY_VERSION) -> None:
    """Deletes a tag, and removes it from all products. Raises NotFound, PreconditionFailed."""
    with attributed_transaction(actor=actor):
        lock(Tag.objects.alive(), match, pk=tag.pk)
        Tag.objects.filter(pk=tag.pk).update(deleted=Now())


def _saved_unless_taken(tag: Tag) -> Tag:
    try:
        with transaction.atomic():
            tag.save()
    except IntegrityError as error:  # only the name is unique
        field, message = violation(Tag, error)
        raise Invalid({field or "name": message}) from error
    return tag


# --- Orders ---------------------------------------------------------------------------------------------


def place_order(*, actor: str, buyer: AnyUser, lines: Sequence[Line], final: bool = False) -> PlacedOrder:
    """Places an order of all lines or none; lines of the same product are added up. One statement.

    The buyer has ORDER_CONFIRM_SECONDS to confirm it; a `final` one is accepted at once. Raises UnknownProducts,
    Invalid for too many of one product, TooManyUnpaid and InsufficientStock.
    """
    return _place(actor, uuid7(), buyer, lines, machines.ACCEPTED if final else machines.PENDING_CONFIRMATION)


def cancel_order(*, actor: str, order: Order) -> None:
    """Cancels a pending order and releases its stock. Raises Conflict for any other."""
    with attributed_transaction(actor=actor):
        if not release_stock("cancel", [order.pk]):
            raise _invalid_transition("cancel", order)


def confirm_order(*, actor: str, order: Order, token: str) -> None:
    """Confirms an order with the gateway's token of a card, which a worker charges.

    Raises Conflict for an order in another state, or after its deadline.
    """
    step = machines.ORDER.transition("confirm")
    with attributed_transaction(actor=actor):
        in_time = Order.objects.filter(pk=order.pk, state=step.source, confirm_until__gt=Now())
        if not in_time.update(state=step.target):
            raise _invalid_transition("confirm", order)
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
            raise _invalid_transition("end", order)
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


def release_stock_params(transition: str, orders: Sequence[UUID] | None, reason: str = "") -> dict[str, Any]:
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


def _place(actor: str, key: UUID, buyer: AnyUser, lines: Sequence[Line], state: str) -> PlacedOrder:
    [found] = fetch_all(
        SQL["place"].replace("{attributed}", ATTRIBUTED).replace("{confirmed}", confirmation_sql(actor)),
        {
            **attribution(actor=actor),
            "id": key,
            "buyer": buyer.pk,
            "state": state,
            "max_quantity": MAX_QUANTITY,
            **_limits(state),
            "products": _array(line.product if isinstance(line.product, UUID) else None for line in lines),
            "numbers": _array(line.product if isinstance(line.product, int) else None for line in lines),
            "quantities": _array(line.quantity for line in lines),
            "seconds": settings.ORDER_CONFIRM_SECONDS if state == machines.PENDING_CONFIRMATION else None,
        },
        reuse_cursor=True,
    )
    refuse_unless(found["confirmed"], actor)
    if found["number"] is not None:
        notify_on_commit()
        return PlacedOrder(found["number"], found["shown"].encode())
    if missing := [line["asked_for"] for line in found["lines"] if line["id"] is None]:
        raise UnknownProducts(missing)
    if excessive := [line for line in found["lines"] if line["quantity"] > MAX_QUANTITY]:
        raise Invalid({f"lines.{line['index']}": _too_many(line) for line in excessive})
    if found["excess"]:
        raise TooManyUnpaid(found["excess"])
    raise InsufficientStock(found["lines"])


def _limits(state: str) -> dict[str, int | None]:
    """The limits of a buyer's unpaid orders; none for an order that is accepted at once."""
    limited = state == machines.PENDING_CONFIRMATION
    return {
        "most_orders": (settings.UNPAID_ORDERS_PER_USER or None) if limited else None,
        "most_units": (settings.UNPAID_UNITS_PER_USER or None) if limited else None,
    }


def _too_many(line: Row) -> str:
    return f"At most {MAX_QUANTITY} of one product in one order; the lines of this product sum to {line['quantity']}."


def _array(values: Iterable[UUID | int | None]) -> str:
    """A PostgreSQL array literal: psycopg would look up the type of each list, a twelfth of an order's time."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _invalid_transition(transition: str, order: Order) -> Conflict:
    order.refresh_from_db(fields=["state"])
    step = machines.ORDER.transition(transition)
    if order.state == step.source:
        return Conflict("The time to confirm this order is over.")
    return Conflict(f"The order is {order.state}; {step.name} requires {step.source}.")


# --- Bags -----------------------------------------------------------------------------------------------


def put_in_bag(*, actor: str, user: AnyUser, product: Product, quantity: int) -> list[Row]:
    """Sets the quantity of a product in the user's bag. Returns the bag's lines. Raises Conflict for a full bag."""
    with attributed_transaction(actor=actor):
        bag = _open_bag(user)
        if bag.items.exclude(product=product).count() >= MAX_LINES:
            raise Conflict(f"A bag can hold {MAX_LINES} different products. Order it, or remove a product.")
        BagItem.objects.update_or_create(bag=bag, product=product, defaults={"quantity": quantity})
        return BagItem.objects.filter(bag=bag).lines(user)


def take_from_bag(*, actor: str, user: AnyUser, product: Product) -> None:
    """Removes a product from the user's bag, even if it is no longer on sale; idempotent."""
    with attributed_transaction(actor=actor):
        if bag := _locked_bag(user):
            BagItem.objects.filter(bag=bag, product=product).delete()


def order_bag(*, actor: str, user: AnyUser) -> PlacedOrder:
    """Orders the visible lines of the bag at current prices, and closes the bag.

    Raises Conflict for an empty bag and for a product that is withdrawn at the same time, and InsufficientStock; the
    bag is unchanged then.
    """
    with attributed_transaction(actor=actor):
        bag = _locked_bag(user)
        lines = BagItem.objects.filter(bag=bag).lines(user) if bag else []
        if not bag or not lines:
            raise Conflict("The bag is empty.")
        key = uuid7()
        requested = [Line(line["product"], line["quantity"]) for line in lines]
        try:
            placed = _place(actor, key, user, requested, machines.PENDING_CONFIRMATION)
        except UnknownProducts as error:
            raise ProductsGone(lines, error) from error
        Bag.objects.filter(pk=bag.pk).update(state=machines.ORDERED, order_id=key)
        return placed


def _open_bag(user: AnyUser) -> Bag:
    """The user's open bag, locked until the end of the transaction; a new one if there is none.

    The loop is for a concurrent transaction that orders the bag between the INSERT, which it blocked, and the lock.
    """
    while (bag := _locked_bag(user)) is None:
        Bag.objects.bulk_create([Bag(user=user)], ignore_conflicts=True)
    return bag


def _locked_bag(user: AnyUser) -> Bag | None:
    """The user's open bag, locked, so that it is ordered only once.

    None if there is none, or if a concurrent transaction orders it while this one waits for the lock.
    """
    return Bag.objects.alive().select_for_update(no_key=True).filter(user=user, state=machines.OPEN).first()
