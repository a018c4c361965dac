"""Views of bags and orders below `api/v1/`."""

from drf_spectacular.utils import extend_schema
from orjson import Fragment
from rest_framework.request import Request

from backend.shop.catalogue import reads as product_reads
from backend.shop.orders import actions, bags, reads
from backend.shop.orders.models import Order
from backend.shop.orders.serializers import (
    NOT_PLACED,
    BagSerializer,
    NewOrderSerializer,
    OrderSerializer,
    OrderWithHistorySerializer,
    QuantitySerializer,
)
from backend.shop.states import machines
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import answer
from lockstep.rest.filters import Filters
from lockstep.rest.paging import BY_TIME, ordering_of, page
from lockstep.rest.parameters import choice
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse, etag
from lockstep.rest.schema import CREATES_VERSION, CURSOR_PAGE, READS_VERSION, SHOWS_VERSION, ordering
from lockstep.rest.serializers import page_of, validated
from lockstep.rest.views import View

FILTERS = Filters((choice("state", "Only orders in this state.", machines.ORDER.states), "state"))


class BagView(View):
    """The user's bag."""

    @extend_schema(operation_id="get_bag", responses=BagSerializer)
    def get(self, request: Request) -> ApiResponse:
        """Returns your bag, at current prices."""
        return ApiResponse(BagSerializer.represent(reads.bag(request.user)))


class BagItemView(View):
    """A product in the user's bag. Both methods are idempotent."""

    @extend_schema(operation_id="put_bag_item", request=QuantitySerializer, responses=BagSerializer)
    def put(self, request: Request, key: str) -> ApiResponse:
        """Sets the quantity of a product in the bag."""
        values = validated(QuantitySerializer, request.data)
        product = product_reads.product(key, request.user)
        contents = bags.put_in_bag(actor=actor_of(request), user=request.user, product=product, **values)
        return ApiResponse(BagSerializer.represent(contents))

    @extend_schema(operation_id="delete_bag_item", responses={204: None})
    def delete(self, request: Request, key: str) -> ApiResponse:
        """Removes a product from the bag."""
        product = reads.product_in_bag(key, request.user)
        bags.take_from_bag(actor=actor_of(request), user=request.user, product=product)
        return ApiResponse(status=204)


class BagOrderView(View):
    """Places an order of the bag's contents."""

    @extend_schema(
        operation_id="order_bag",
        parameters=CREATES_VERSION,
        request=None,
        responses={201: OrderSerializer, **NOT_PLACED},
    )
    def post(self, request: Request) -> ApiResponse:
        placed = bags.order_bag(actor=actor_of(request), user=request.user)
        return ApiResponse(Fragment(placed.body), status=201, headers={"ETag": etag(placed.version)})


class OrderListView(View):
    """The user's orders."""

    @extend_schema(
        operation_id="list_orders",
        parameters=[*FILTERS.parameters, ordering(BY_TIME), *CURSOR_PAGE],
        responses=page_of(OrderSerializer),
    )
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists your orders, newest first."""
        orders = FILTERS.apply(request, Order.objects.alive().of(request.user))
        return page(request, orders, order=ordering_of(request, BY_TIME), shape=OrderSerializer.represent)

    @extend_schema(
        operation_id="create_order",
        parameters=CREATES_VERSION,
        request=NewOrderSerializer,
        responses={201: OrderSerializer, **NOT_PLACED},
    )
    def post(self, request: Request) -> ApiResponse:
        """Places an order of all lines or none, to be confirmed before `confirm_until`."""
        values = validated(NewOrderSerializer, request.data)
        placed = actions.place_order(actor=actor_of(request), buyer=request.user, **values)
        return ApiResponse(Fragment(placed.body), status=201, headers={"ETag": etag(placed.version)})


class OrderView(View):
    """An order of the user."""

    @extend_schema(operation_id="get_order", parameters=READS_VERSION, responses=OrderWithHistorySerializer)
    def get(self, request: Request, key: str) -> ApiResponse:
        """Returns an order of yours, with its history."""
        return order_response(request, key)


class CancelView(View):
    """Cancels an order that is not confirmed yet."""

    @extend_schema(
        operation_id="cancel_order",
        parameters=SHOWS_VERSION,
        request=None,
        responses={200: OrderWithHistorySerializer},
    )
    def post(self, request: Request, key: str) -> ApiResponse:
        order = reads.order(key, request.user)
        actions.cancel_order(actor=actor_of(request), order=order)
        return order_response(request, key)


def order_response(request: Request, key: str) -> ApiResponse:
    """The response with an order of the user's and its history. Raises NotFound."""
    order = reads.order(key, request.user)
    return answer(request, OrderWithHistorySerializer.represent(order), order.version)
