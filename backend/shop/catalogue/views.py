"""Views of products and tags below `api/v1/`."""

from collections.abc import Mapping
from functools import partial
from typing import cast
from uuid import UUID

from django.contrib.auth import get_user_model
from drf_spectacular.utils import extend_schema
from orjson import Fragment
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from backend.shop.catalogue import actions, reads
from backend.shop.catalogue.models import Product, ProductQuerySet, Tag
from backend.shop.catalogue.serializers import (
    PRICE,
    NewProductSerializer,
    ProductSerializer,
    TagSerializer,
    read_price,
)
from backend.shop.search.engine import NEWER, OLDER, search_engine
from lockstep.rest import fastpath
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import answer, if_match, object_response
from lockstep.rest.errors import NotFound
from lockstep.rest.filters import Filters
from lockstep.rest.paging import (
    BY_TIME,
    NEWEST,
    Ordering,
    cursor_response,
    keyset_page,
    ordering_of,
    page,
    parse_cursor_params,
)
from lockstep.rest.parameters import QueryParameter, text
from lockstep.rest.permissions import StaffWrite
from lockstep.rest.requests import ApiRequest, by_key, key_parameter
from lockstep.rest.responses import ApiResponse
from lockstep.rest.schema import (
    CHANGES_VERSION,
    CREATES_VERSION,
    CURSOR_PAGE,
    DELETES_VERSION,
    READS_VERSION,
    ordering,
)
from lockstep.rest.serializers import page_of, validated
from lockstep.rest.views import View

SEARCH = text(
    "search",
    "Only products with all these words in name, description or tags. The last word may be incomplete, and words "
    "may be misspelt. All products when empty.",
    may_be_empty=True,
)
FILTERS = Filters(
    (text("tag", "Only products with this tag: its id or name."), ProductQuerySet.tagged),
    (key_parameter("owner", "Only products of this user: an id or a number."), "owner"),
    (
        QueryParameter("min_price", PRICE, read_price, "Only products of this price or a higher one."),
        "price__gte",
    ),
    (
        QueryParameter(
            "max_price", PRICE, read_price, "Only products of this price or a lower one.", least="min_price", equal=True
        ),
        "price__lte",
    ),
)
PRODUCT_ORDERINGS: Mapping[str, Ordering] = {**BY_TIME, "price": ("price", "id"), "-price": ("-price", "-id")}
TAG_ORDERINGS: Mapping[str, Ordering] = {**BY_TIME, "name": ("sort_key", "id"), "-name": ("-sort_key", "-id")}
PRODUCT_LIST = [SEARCH, *FILTERS.parameters, ordering(PRODUCT_ORDERINGS), *CURSOR_PAGE]
PLAIN = {"limit", "cursor"}  # the parameters of a list that is one statement (reads.listing)
PREFIX = text(
    "prefix",
    "Only tags whose name begins with this text, ignoring case and spelling; all when empty.",
    may_be_empty=True,
)


class ProductListView(View):
    """Products on sale."""

    @fastpath.bundles(lambda request: reads.listing(parse_cursor_params(request)) if _is_plain(request) else None)
    @extend_schema(operation_id="list_products", parameters=PRODUCT_LIST, responses=page_of(ProductSerializer))
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists products on sale, and all of your own, newest first."""
        if not _is_plain(request):
            return _products(request, Product.objects.visible_to(request.user))
        params = parse_cursor_params(request)
        row = fastpath.fetch(request, reads.listing(params))
        results, first, last, more = cast(fastpath.Values, row)  # an aggregate always has one
        return cursor_response(request, params, Fragment(results), first, last, more)

    @extend_schema(
        operation_id="create_product",
        parameters=CREATES_VERSION,
        request=NewProductSerializer,
        responses={201: ProductSerializer},
    )
    def post(self, request: Request) -> ApiResponse:
        """Creates a product of yours, on sale at once."""
        values = validated(NewProductSerializer, request.data)
        created = actions.create_product(actor=actor_of(request), owner=request.user, **values)
        return _product(request, str(created.pk), status=201)


class ProductView(View):
    """Returns a product."""

    @fastpath.bundles(lambda _, key: reads.product_json(key))
    @extend_schema(operation_id="get_product", parameters=READS_VERSION, responses=ProductSerializer)
    def get(self, request: ApiRequest, key: str) -> ApiResponse:
        return _product(request, key)

    @extend_schema(
        operation_id="update_product",
        parameters=CHANGES_VERSION,
        request=ProductSerializer,
        responses=ProductSerializer,
    )
    def patch(self, request: Request, key: str) -> ApiResponse:
        """Updates a product of yours; `state` takes it off sale and back."""
        product = reads.own_product(key, request.user)
        values = validated(ProductSerializer, request.data, partial=True, current=ProductSerializer.represent(product))
        actions.update_product(actor=actor_of(request), product=product, match=if_match(request), **values)
        return _product(request, str(product.pk))

    @extend_schema(operation_id="delete_product", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, key: str) -> ApiResponse:
        """Deletes a product of yours; orders of it are not affected."""
        product = reads.own_product(key, request.user)
        actions.delete_product(actor=actor_of(request), product=product, match=if_match(request))
        return ApiResponse(status=204)


class ProductTagView(View):
    """A tag on a product of the user. Both methods are idempotent."""

    @extend_schema(operation_id="add_product_tag", request=None, responses={204: None})
    def put(self, request: Request, key: str, tag: str) -> ApiResponse:
        """Adds a tag to a product of yours."""
        product = reads.own_product(key, request.user)
        actions.add_tag(actor=actor_of(request), product=product, tag=reads.tag(tag))
        return ApiResponse(status=204)

    @extend_schema(operation_id="remove_product_tag", responses={204: None})
    def delete(self, request: Request, key: str, tag: str) -> ApiResponse:
        """Removes a tag from a product of yours."""
        product = reads.own_product(key, request.user)
        actions.remove_tag(actor=actor_of(request), product=product, tag=reads.tag(tag))
        return ApiResponse(status=204)


class StoreView(View):
    """Lists the products of a user, newest first."""

    @extend_schema(operation_id="list_user_products", parameters=PRODUCT_LIST, responses=page_of(ProductSerializer))
    def get(self, request: ApiRequest, key: str) -> ApiResponse:
        owner = get_user_model().objects.filter(deleted=None, **by_key(key)).first()
        if owner is None:
            raise NotFound("There is no such user.")
        return _products(request, Product.objects.visible_to(request.user).of(owner))


class TagListView(View):
    """Tags."""

    permission_classes = (IsAuthenticated, StaffWrite)

    @extend_schema(
        operation_id="list_tags",
        parameters=[PREFIX, ordering(TAG_ORDERINGS), *CURSOR_PAGE],
        responses=page_of(TagSerializer),
    )
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists tags; `prefix` serves auto-completion."""
        tags = Tag.objects.alive().beginning(request.parameters.get("prefix", ""))
        return page(request, tags, order=ordering_of(request, TAG_ORDERINGS), shape=TagSerializer.represent)

    @extend_schema(
        operation_id="create_tag", parameters=CREATES_VERSION, request=TagSerializer, responses={201: TagSerializer}
    )
    def post(self, request: Request) -> ApiResponse:
        """Creates a tag. For staff."""
        created = actions.create_tag(actor=actor_of(request), **validated(TagSerializer, request.data))
        return _tag(request, created.pk, status=201)


class TagView(View):
    """Returns a tag."""

    permission_classes = (IsAuthenticated, StaffWrite)

    @extend_schema(operation_id="get_tag", parameters=READS_VERSION, responses=TagSerializer)
    def get(self, request: Request, tag: str) -> ApiResponse:
        return _tag(request, tag)

    @extend_schema(
        operation_id="update_tag", parameters=CHANGES_VERSION, request=TagSerializer, responses=TagSerializer
    )
    def patch(self, request: Request, tag: str) -> ApiResponse:
        """Updates a tag. For staff."""
        found, match = reads.tag(tag), if_match(request)
        values = validated(TagSerializer, request.data, partial=True, current=TagSerializer.represent(found))
        actions.update_tag(actor=actor_of(request), tag=found, match=match, **values)
        return _tag(request, found.pk)

    @extend_schema(operation_id="delete_tag", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, tag: str) -> ApiResponse:
        """Deletes a tag, and removes it from all products. For staff."""
        actions.delete_tag(actor=actor_of(request), tag=reads.tag(tag), match=if_match(request))
        return ApiResponse(status=204)


def _is_plain(request: ApiRequest) -> bool:
    """Whether a list has no filters, no count, and the usual order."""
    return request._request.GET.keys() <= PLAIN


def _products(request: ApiRequest, rows: ProductQuerySet) -> ApiResponse:
    """A page of the products that pass the filters, and that match `search`."""
    rows = FILTERS.apply(request, rows)
    order = ordering_of(request, PRODUCT_ORDERINGS)
    words = request.parameters.get("search", "")
    if words and order == NEWEST and "offset" not in request.parameters:
        older, newer = (partial(reads.matching, request.user, rows, words, direction) for direction in (OLDER, NEWER))
        return keyset_page(request, older, newer, search_engine().narrow(rows, words))
    if words:
        rows = search_engine().narrow(rows, words)
    return page(request, rows, order=order, shape=ProductSerializer.represent)


def _product(request: Request, key: str, status: int = 200) -> ApiResponse:
    row = fastpath.fetch(request, reads.product_json(key))
    return object_response(request, row, "There is no such product.", status)


def _tag(request: Request, key: UUID | str, status: int = 200) -> ApiResponse:
    tag = reads.tag(key)
    return answer(request, TagSerializer.represent(tag), tag.version, status=status)
