"""What views of the shop ask for."""

from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework.exceptions import PermissionDenied

from lockstep.api.concurrency import Shown, found_or_missing
from lockstep.api.errors import NotFound
from lockstep.api.paging import DEFAULT_CURSOR_LIMIT, Part, page_limits
from lockstep.api.requests import by_key, number_of
from lockstep.api.statements import Reading, Row, Values, rows, values
from lockstep.changes.entities import Somebody
from lockstep.changes.sql_file import load
from lockstep.shop import machines
from lockstep.shop.models import BagItem, Order, Product, ProductQuerySet, Tag, is_visible
from lockstep.shop.search import Way, search_engine

_TEXTS = {name: text.rstrip(";") for name, text in load(Path(__file__).parent / "sql" / "products.sql").items()}


def _statement(name: str, **parts: str) -> str:
    """A statement of these with its parts, each of which may have parts itself; those that are given come first."""
    text = _TEXTS[name]
    given = {"fitting": _TEXTS["fitting"], **parts}
    for part, is_there in [*given.items(), *_TEXTS.items()]:
        text = text.replace(f"{{{part}}}", is_there)
    return text


TOGETHER = {
    "by_id": _statement("by_id"),
    "by_number": _statement("by_number"),
    "older": _statement("page", rows=_TEXTS["older"], order="row"),
    "newer": _statement("page", rows=_TEXTS["newer"], order="row DESC"),
    "few_older": _statement("page", fitting=_TEXTS["few"], rows=_TEXTS["older"], order="row"),
    "few_newer": _statement("page", fitting=_TEXTS["few"], rows=_TEXTS["newer"], order="row DESC"),
    "among": _statement("among", rows=_TEXTS["listed"]),
}
SQL = {name: text.replace("{user}", "%(user)s") for name, text in TOGETHER.items()}


def listing(part: Part) -> Reading:
    """The part of what is on sale, and of one's own, that a page shows; to be read together with who asks for it."""
    name = ("few_" if part.limit <= DEFAULT_CURSOR_LIMIT else "") + ("newer" if part.backwards else "older")
    return Reading(TOGETHER[name], {"place": part.key, **page_limits(part.limit)})


def found(
    user: Somebody, products: ProductQuerySet, text: str, way: Way, place: UUID | None, limit: int
) -> tuple[list[Row], bool]:
    """Those of these products that match the text, this way from this place, as this user sees them; whether more do.

    What was deleted between the two statements is left out.
    """
    keys = search_engine().page(products, text, way, place, limit + 1)
    parameters = {"user": user.pk, "keys": keys[:limit], **page_limits(limit)}
    return rows(SQL["among"], parameters), len(keys) > limit


def reading(key: str) -> Reading:
    """A product, by id or number, to be read together with who asks for it."""
    return Reading(TOGETHER[_by(key)], {"key": _key(key)}, is_small=True)


def shown(key: str, user: Somebody) -> Shown:
    """A product that this user may see, by id or number. Raises NotFound."""
    return as_shown(values(SQL[_by(key)], {"user": user.pk, "key": _key(key)}))


def as_shown(found: Values | None) -> Shown:
    """The product that was read. Raises NotFound."""
    return found_or_missing(found, "There is no such product.")


def _by(key: str) -> str:
    return "by_id" if number_of(key) is None else "by_number"


def _key(key: str) -> int | UUID:
    number = number_of(key)
    return UUID(key) if number is None else number


def product(key: str, user: Somebody) -> Product:
    """A product that this user may see, by id or number. Raises NotFound."""
    found = Product.objects.visible_to(user).filter(**by_key(key)).first()
    if found is None:
        raise NotFound("There is no such product.")
    return found


def product_in_bag(key: str, user: Somebody) -> Product:
    """A product that this user may see, or has in the bag although it is not sold any more. Raises NotFound."""
    in_bag = BagItem.objects.filter(bag__user=user, bag__state=machines.OPEN, bag__deleted=None).values("product")
    found = Product.objects.filter(is_visible(user) | Q(pk__in=in_bag), **by_key(key)).first()
    if found is None:
        raise NotFound("There is no such product.")
    return found


def own_product(key: str, user: Somebody) -> Product:
    """A product that this user may change. Raises NotFound, and PermissionDenied for another user's."""
    found = product(key, user)
    if found.owner_id != user.pk:
        raise PermissionDenied("This product belongs to another user.")
    return found


def tag(key: UUID | str) -> Tag:
    """A tag by its id, or by its name in any equal spelling. Raises NotFound."""
    tags = [] if "\0" in str(key) else list(Tag.objects.alive().called(str(key)))
    # A name may look like an id: then the id counts.
    found = next((tag for tag in tags if str(tag.pk) == str(key).lower()), tags[0] if tags else None)
    if found is None:
        raise NotFound("There is no such tag.")
    return found


def order(key: str, user: Somebody) -> Order:
    """An order of this user's, by id or number. Raises NotFound."""
    found = Order.objects.alive().of(user).filter(**by_key(key)).first()
    if found is None:
        raise NotFound("You have no such order.")
    return found


def bag(user: Somebody) -> list[dict[str, Any]]:
    """The lines of the user's open bag, in the order in which they came; a product that is out of sight is none."""
    return BagItem.objects.filter(bag__user=user, bag__state=machines.OPEN, bag__deleted=None).lines(user)
