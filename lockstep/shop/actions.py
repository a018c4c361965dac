"""Writes of the shop. Each is one transaction; what follows from it (payment, search, feeds) leaves by delivery."""

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

from lockstep.api import problems
from lockstep.api.concurrency import ANY_VERSION, Match, lock
from lockstep.api.errors import Conflict, Invalid
from lockstep.api.statements import Row, rows
from lockstep.changes.attribution import (
    announce_commit,
    attributed_transaction,
    attribution,
    confirmation_sql,
    refuse_unless,
)
from lockstep.changes.entities import Somebody
from lockstep.changes.sql_file import load
from lockstep.changes.violations import violation
from lockstep.delivery import operations
from lockstep.delivery.operations import Selection, UnknownSubscription
from lockstep.shop import machines
from lockstep.shop.models import (
    MOST_LINES,
    MOST_OF_ONE,
    Bag,
    BagItem,
    Movement,
    Order,
    Payment,
    Product,
    ProductTag,
    Tag,
)

SQL = load(Path(__file__).parent / "sql" / "orders.sql")
BATCH = 500  # orders that expire in one transaction
PAYMENTS = "payments"  # the subscription that charges for orders (payments.py)
HIDDEN_SECONDS = 60.0  # for so long the gateway may not show a charge that it has made


@dataclass(frozen=True, slots=True)
class Line:
    """So many of one product, named by its id or its number."""

    product: UUID | int
    quantity: int


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that was placed just now."""

    number: int
    shown: bytes  # what its buyer sees, as JSON


class InsufficientStock(Conflict):
    """Not enough stock; nothing was ordered."""

    problem = problems.INSUFFICIENT_STOCK

    def __init__(self, found: Sequence[Row], field: str = "lines") -> None:
        super().__init__()
        self.found = found
        self.more = {
            "lines": [
                {"product": str(row["id"]), "asked": row["quantity"], "available": row["available"]} for row in found
            ]
        }
        self.errors = [
            {
                "field": f"{field}.{row['index']}",
                "detail": f"{row['quantity']} are asked for, {row['available']} are there.",
            }
            for row in found
            if row["available"] < row["quantity"]
        ]

    def of(self, field: str) -> "InsufficientStock":
        """This error for a route that has another name for its lines."""
        return InsufficientStock(self.found, field)


class UnknownProducts(Invalid):
    """The order names products that do not exist, or that its buyer may not see."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__({"lines": f"There is no product {', '.join(missing)}."})
        self.missing = missing


class TooManyUnpaid(Conflict):
    """The buyer's unpaid orders hold as much stock as they may."""

    def __init__(self, excess: str) -> None:
        most = settings.UNPAID_ORDERS_PER_USER if excess == "orders" else settings.UNPAID_UNITS_PER_USER
        super().__init__(
            f"Your unpaid orders may be at most {most} {excess} together. "
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
    owner: Somebody,
    name: str,
    price: Decimal,
    stock: int = 0,
    description: str = "",
) -> Product:
    """A new product, on sale at once."""
    with attributed_transaction(actor=actor):
        return Product.objects.create(owner=owner, name=name, price=price, stock=stock, description=description)


def update_product(*, actor: str, product: Product, match: Match = ANY_VERSION, **values: Any) -> None:  # noqa: ANN401 - columns
    """Changes columns of a product; what is set as its stock is a correction in the ledger.

    Raises NotFound, OutOfDate.
    """
    with attributed_transaction(actor=actor):
        _lock_product(product, match)
        Product.objects.filter(pk=product.pk).update(**values)


def delete_product(*, actor: str, product: Product, match: Match = ANY_VERSION) -> None:
    """Deletes a product; orders that have it keep their lines. Raises NotFound, OutOfDate."""
    with attributed_transaction(actor=actor):
        _lock_product(product, match)
        Product.objects.filter(pk=product.pk).update(deleted=Now())


def _lock_product(product: Product, match: Match) -> None:
    """Locks a product that still belongs to whom it belonged when it was read. Raises NotFound, OutOfDate."""
    lock(Product.objects.alive().of(product.owner_id), match, pk=product.pk)


def add_tag(*, actor: str, product: Product, tag: Tag) -> None:
    """Puts a tag on a product; one that it has already changes nothing. Raises NotFound."""
    with attributed_transaction(actor=actor):
        # In this order, which is that of who renames a tag.
        lock(Tag.objects.alive(), ANY_VERSION, "There is no such tag.", pk=tag.pk)
        _lock_product(product, ANY_VERSION)
        ProductTag.objects.bulk_create([ProductTag(product=product, tag=tag)], ignore_conflicts=True)


def remove_tag(*, actor: str, product: Product, tag: Tag) -> None:
    """Takes a tag off a product; one that it does not have changes nothing. Raises NotFound."""
    with attributed_transaction(actor=actor):
        _lock_product(product, ANY_VERSION)
        ProductTag.objects.alive().filter(product=product, tag=tag).update(deleted=Now())


def create_tag(*, actor: str, name: str, description: str = "") -> Tag:
    """A new tag. Raises Invalid for a name that another one has, in any equal spelling."""
    with attributed_transaction(actor=actor):
        return _saved_unless_taken(Tag(name=name, description=description))


def update_tag(*, actor: str, tag: Tag, match: Match = ANY_VERSION, **values: str) -> None:
    """Changes a tag. Raises NotFound, OutOfDate, Invalid."""
    with attributed_transaction(actor=actor):
        locked = lock(Tag.objects.alive(), match, pk=tag.pk)
        for name, value in values.items():
            setattr(locked, name, value)
        _saved_unless_taken(locked)


def delete_tag(*, actor: str, tag: Tag, match: Match = ANY_VERSION) -> None:
    """Deletes a tag, and takes it off every product. Raises NotFound, OutOfDate."""
    with attributed_transaction(actor=actor):
        lock(Tag.objects.alive(), match, pk=tag.pk)
        Tag.objects.filter(pk=tag.pk).update(deleted=Now())


def _saved_unless_taken(tag: Tag) -> Tag:
    try:
        with transaction.atomic():
            tag.save()
    except IntegrityError as error:  # the name is all that is unique
        field, sentence = violation(Tag, error)
        raise Invalid({field or "name": sentence}) from error
    return tag


# --- Orders ---------------------------------------------------------------------------------------------


def place_order(*, actor: str, buyer: Somebody, lines: Sequence[Line], final: bool = False) -> Placed:
    """Orders all of it or nothing; a product that is named twice is one line. One statement.

    The buyer has ORDER_CONFIRM_SECONDS to confirm it; a `final` one is accepted at once. Raises UnknownProducts,
    Invalid for too many of one product, TooManyUnpaid and InsufficientStock.
    """
    return _place(actor, uuid7(), buyer, lines, machines.ACCEPTED if final else machines.PENDING_CONFIRMATION)


def cancel_order(*, actor: str, order: Order) -> None:
    """Ends an order that is not confirmed yet; its stock is back. Raises Conflict for any other."""
    with attributed_transaction(actor=actor):
        if not give_back("cancel", [order.pk]):
            raise _out_of_place("cancel", order)


def confirm_order(*, actor: str, order: Order, token: str) -> None:
    """Says how an order is paid; a worker sees to that. `token` stands for a card at the payment gateway.

    Raises Conflict for an order that cannot be confirmed, or not any more.
    """
    step = machines.ORDER.transition("confirm")
    with attributed_transaction(actor=actor):
        in_time = Order.objects.filter(pk=order.pk, state=step.source, confirm_until__gt=Now())
        if not in_time.update(state=step.target):
            raise _out_of_place("confirm", order)
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
        # This change, in the order's own lane, is what wakes the worker.
        if not Order.objects.filter(pk=order.pk, state=step.source).update(reason="Staff are ending this order."):
            raise _out_of_place("end", order)
        if begins:
            _discard_letters(order)
        else:
            with suppress(UnknownSubscription):
                operations.replay_letters(Selection(PAYMENTS, object_id=str(order.pk)))


def end_order_unanswered(*, actor: str, order: Order) -> None:
    """Rejects an order that staff are ending although the gateway does not answer whether it was charged.

    The worker goes on asking: a charge that shows later is a dead letter, which says to refund it. Raises Conflict
    unless `end_order` came HIDDEN_SECONDS before: until then a charge may be under way.
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
        give_back("end", [order.pk], reason)
        _discard_letters(order)


def _discard_letters(order: Order) -> None:
    """Settles the dead letters of an order's payment. There is no subscription before the first worker."""
    with suppress(UnknownSubscription):
        selection = Selection(PAYMENTS, object_id=str(order.pk))
        operations.discard_letters(selection, reason=f"Staff ended order {order.number}.")


def expire_orders() -> int:
    """Ends every order whose time to confirm is over, some hundreds at once; how many there were."""
    _forget_a_later_clock()
    ended = 0
    while True:
        with attributed_transaction():
            batch = give_back("expire")
        ended += batch
        if batch < BATCH:
            return ended


def _forget_a_later_clock() -> None:
    """Orders that were placed before the clock stepped back can be confirmed no longer than one that is placed now."""
    until = Now() + timedelta(seconds=settings.ORDER_CONFIRM_SECONDS)
    later = Order.objects.filter(state=machines.PENDING_CONFIRMATION, confirm_until__gt=until, created__gt=Now())
    if later.exists():
        with attributed_transaction():
            later.update(confirm_until=until)


def give_back(transition: str, orders: Sequence[UUID] | None = None, reason: str = "") -> int:
    """Ends these orders, or those that are due, by a transition that gives their stock back; how many it ended.

    Those that are in another state by now are left alone.
    """
    return len(rows(SQL["give_back"], giving_back(transition, orders, reason)))


def giving_back(transition: str, orders: Sequence[UUID] | None, reason: str = "") -> dict[str, Any]:
    """The parameters of that statement."""
    step = machines.ORDER.transition(transition)
    return {
        "orders": None if orders is None else list(orders),
        "source": step.source,
        "target": step.target,
        "reason": reason,
        "movement": Movement.Reason[transition.upper()].value,
        "most": BATCH,
    }


def _place(actor: str, key: UUID, buyer: Somebody, lines: Sequence[Line], state: str) -> Placed:
    [found] = rows(
        SQL["place"].replace("{confirmed}", confirmation_sql(actor)),
        {
            **attribution(actor=actor),
            "id": key,
            "buyer": buyer.pk,
            "state": state,
            "most_of_one": MOST_OF_ONE,
            **_limits(state),
            "products": _array(line.product if isinstance(line.product, UUID) else None for line in lines),
            "numbers": _array(line.product if isinstance(line.product, int) else None for line in lines),
            "quantities": _array(line.quantity for line in lines),
            "seconds": settings.ORDER_CONFIRM_SECONDS if state == machines.PENDING_CONFIRMATION else None,
        },
        is_small=True,
    )
    refuse_unless(found["confirmed"], actor)
    if found["number"] is not None:
        announce_commit()
        return Placed(found["number"], found["shown"].encode())
    if missing := [line["asked_for"] for line in found["lines"] if line["id"] is None]:
        raise UnknownProducts(missing)
    if beyond := [line for line in found["lines"] if line["quantity"] > MOST_OF_ONE]:
        raise Invalid({f"lines.{line['index']}": _too_many(line) for line in beyond})
    if found["excess"]:
        raise TooManyUnpaid(found["excess"])
    raise InsufficientStock(found["lines"])


def _limits(state: str) -> dict[str, int | None]:
    """How much a buyer may have in orders that are not paid yet; nothing limits what is accepted at once."""
    limited = state == machines.PENDING_CONFIRMATION
    return {
        "most_orders": (settings.UNPAID_ORDERS_PER_USER or None) if limited else None,
        "most_units": (settings.UNPAID_UNITS_PER_USER or None) if limited else None,
    }


def _too_many(line: Row) -> str:
    return f"At most {MOST_OF_ONE} of one product in one order; the lines of this product sum to {line['quantity']}."


def _array(values: Iterable[UUID | int | None]) -> str:
    """As PostgreSQL writes one: psycopg finds out the type of each list anew, a twelfth of what an order executes."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _out_of_place(transition: str, order: Order) -> Conflict:
    order.refresh_from_db(fields=["state"])
    step = machines.ORDER.transition(transition)
    if order.state == step.source:
        return Conflict("The time to confirm this order is over.")
    return Conflict(f"The order is {order.state}; {step.name} needs an order that is {step.source}.")


# --- Bags -----------------------------------------------------------------------------------------------


def put_in_bag(*, actor: str, user: Somebody, product: Product, quantity: int) -> list[Row]:
    """Sets how many of a product are in the user's bag; returns the bag's lines. Raises Conflict for a full bag."""
    with attributed_transaction(actor=actor):
        bag = _open_bag(user)
        if bag.items.exclude(product=product).count() >= MOST_LINES:
            raise Conflict(f"A bag holds {MOST_LINES} different products. Order it, or take something out.")
        BagItem.objects.update_or_create(bag=bag, product=product, defaults={"quantity": quantity})
        return BagItem.objects.filter(bag=bag).lines(user)


def take_from_bag(*, actor: str, user: Somebody, product: Product) -> None:
    """Takes a product out of the user's bag, also one that is not sold any more; one that is not in it is no error."""
    with attributed_transaction(actor=actor):
        if bag := _locked_bag(user):
            BagItem.objects.filter(bag=bag, product=product).delete()


def order_bag(*, actor: str, user: Somebody) -> Placed:
    """Orders the lines of the bag that the user sees, at today's prices; the next thing goes into a new one.

    Raises Conflict for an empty bag and for a product that is withdrawn at the same moment, and InsufficientStock: the
    bag is then as it was.
    """
    with attributed_transaction(actor=actor):
        bag = _locked_bag(user)
        lines = BagItem.objects.filter(bag=bag).lines(user) if bag else []
        if not bag or not lines:
            raise Conflict("The bag is empty.")
        key = uuid7()
        asked = [Line(line["product"], line["quantity"]) for line in lines]
        try:
            placed = _place(actor, key, user, asked, machines.PENDING_CONFIRMATION)
        except UnknownProducts as error:
            raise ProductsGone(lines, error) from error
        Bag.objects.filter(pk=bag.pk).update(state=machines.ORDERED, order_id=key)
        return placed


def _open_bag(user: Somebody) -> Bag:
    """The user's bag, locked until the end of the transaction; a new one when there is none, or none any more.

    Another transaction may order the bag between our INSERT, which it stopped, and our lock: then there is none again.
    """
    while (bag := _locked_bag(user)) is None:
        Bag.objects.bulk_create([Bag(user=user)], ignore_conflicts=True)
    return bag


def _locked_bag(user: Somebody) -> Bag | None:
    """The user's open bag, locked, so that two orders of it are not one order twice.

    None where there is none, also when the one that there was is ordered while this waits for it: that is the state of
    the bag at the moment in which the other transaction commits.
    """
    return Bag.objects.alive().select_for_update(no_key=True).filter(user=user, state=machines.OPEN).first()
