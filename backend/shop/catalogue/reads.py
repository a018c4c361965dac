"""Queries of products and tags."""

from uuid import UUID

from rest_framework.exceptions import PermissionDenied

from backend.shop.catalogue.models import Product, ProductQuerySet, Tag
from backend.shop.search.engine import Direction, search_engine
from lockstep.rest.errors import NotFound
from lockstep.rest.fastpath import BundledQuery, Row, fetch_all, for_user
from lockstep.rest.paging import DEFAULT_CURSOR_LIMIT, CursorParams, page_limits
from lockstep.rest.requests import by_key, number_of
from lockstep.rest.users import AnyUser
from lockstep.sql import Statement, statements

PRODUCTS = statements(__file__, "products")
OLDER, NEWER = Statement("row"), Statement("row DESC")  # the order of a page, within the order of its rows


def _page(rows: Statement, order: Statement, *, few: bool = False) -> Statement:
    fitting = PRODUCTS["few"] if few else PRODUCTS["fitting"]
    return PRODUCTS["page"].with_parts(fitting=fitting.with_parts(rows=rows), order=order)


BUNDLED_SQL = {
    "by_id": PRODUCTS["by_id"],
    "by_number": PRODUCTS["by_number"],
    "older": _page(PRODUCTS["older"], OLDER),
    "newer": _page(PRODUCTS["newer"], NEWER),
    "few_older": _page(PRODUCTS["older"], OLDER, few=True),
    "few_newer": _page(PRODUCTS["newer"], NEWER, few=True),
}
AMONG = PRODUCTS["among"].with_parts(
    fitting=PRODUCTS["fitting"].with_parts(rows=for_user(PRODUCTS["listed"], Statement("%(user)s")))
)


def listing(params: CursorParams) -> BundledQuery:
    """A page of products on sale or the user's own: JSON, first and last position, whether more follow."""
    name = ("few_" if params.limit <= DEFAULT_CURSOR_LIMIT else "") + ("newer" if params.backwards else "older")
    return BundledQuery(BUNDLED_SQL[name], {"place": params.key, **page_limits(params.limit)})


def matching(
    user: AnyUser, products: ProductQuerySet, text: str, direction: Direction, place: UUID | None, limit: int
) -> tuple[list[Row], bool]:
    """The products that match the text, in this direction from this key, and whether there are more.

    Products that were deleted between the two statements are left out.
    """
    keys = search_engine().page(products, text, direction, place, limit + 1)
    parameters = {"user": user.pk, "keys": keys[:limit], **page_limits(limit)}
    return fetch_all(AMONG, parameters), len(keys) > limit


def product_json(key: str) -> BundledQuery:
    """A product that the user may see, by id or number: its version and its JSON."""
    number = number_of(key)
    if number is None:
        return BundledQuery(BUNDLED_SQL["by_id"], {"key": UUID(key)}, reuse_cursor=True)
    return BundledQuery(BUNDLED_SQL["by_number"], {"key": number}, reuse_cursor=True)


def product(key: str, user: AnyUser) -> Product:
    """A product that this user may see, by id or number. Raises NotFound."""
    found = Product.objects.visible_to(user).filter(**by_key(key)).first()
    if found is None:
        raise NotFound("There is no such product.")
    return found


def own_product(key: str, user: AnyUser) -> Product:
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
