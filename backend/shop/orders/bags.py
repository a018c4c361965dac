"""Actions on bags. Each is one transaction."""

from uuid_utils.compat import uuid7

from backend.shop.catalogue.models import Product
from backend.shop.orders.actions import Line, PlacedOrder, place_order
from backend.shop.orders.errors import ProductsGone, UnknownProducts
from backend.shop.orders.models import MAX_LINES, Bag, BagContents, BagItem
from backend.shop.states import machines
from lockstep.changes.attribution import attributed_transaction
from lockstep.rest.errors import Conflict
from lockstep.rest.users import AnyUser


def put_in_bag(*, actor: str, user: AnyUser, product: Product, quantity: int) -> BagContents:
    """Sets the quantity of a product in the user's bag. Returns the bag's contents. Raises Conflict for a full bag."""
    with attributed_transaction(actor=actor):
        bag = _open_bag(user)
        if bag.items.exclude(product=product).count() >= MAX_LINES:
            raise Conflict(f"A bag can hold {MAX_LINES} different products. Order it, or remove a product.")
        BagItem.objects.update_or_create(bag=bag, product=product, defaults={"quantity": quantity})
        return BagItem.objects.filter(bag=bag).contents(user)


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
        lines = BagItem.objects.filter(bag=bag).contents(user).lines if bag else []
        if not bag or not lines:
            raise Conflict("The bag is empty.")
        key = uuid7()
        requested = [Line(line.product_id, line.quantity) for line in lines]
        try:
            placed = place_order(actor=actor, buyer=user, lines=requested, key=key)
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
