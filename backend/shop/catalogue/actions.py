"""Actions on products and tags. Each is one transaction; search and feeds follow by delivery."""

from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from backend.shop.catalogue.models import Product, ProductTag, Tag
from lockstep.changes.attribution import attributed_transaction
from lockstep.rest.concurrency import ANY_VERSION, Match, lock
from lockstep.rest.errors import Invalid
from lockstep.rest.users import AnyUser
from lockstep.rest.violations import violation


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


def update_product(*, actor: str, product: Product, match: Match = ANY_VERSION, **values: object) -> None:
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
