"""Queries of orders and bags."""

from django.db.models import Q

from backend.shop.catalogue.models import Product, is_visible
from backend.shop.orders.models import BagContents, BagItem, Order
from lockstep.rest.errors import NotFound
from lockstep.rest.requests import by_key
from lockstep.rest.users import AnyUser


def order(key: str, user: AnyUser) -> Order:
    """An order of this user's, by id or number. Raises NotFound."""
    found = Order.objects.alive().of(user).filter(**by_key(key)).first()
    if found is None:
        raise NotFound("You have no such order.")
    return found


def bag(user: AnyUser) -> BagContents:
    """The lines of the user's open bag, without products that the user cannot see."""
    return BagItem.objects.open_of(user).contents(user)


def product_in_bag(key: str, user: AnyUser) -> Product:
    """A product that this user may see, or has in the bag although it is no longer on sale. Raises NotFound."""
    in_bag = BagItem.objects.open_of(user).values("product")
    found = Product.objects.filter(is_visible(user) | Q(pk__in=in_bag), **by_key(key)).first()
    if found is None:
        raise NotFound("There is no such product.")
    return found
