"""The shop routes of the predecessor: `id` is the number, and orders are final at once."""

from django.conf import settings
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from backend.shop.catalogue import actions as product_actions
from backend.shop.catalogue import reads as product_reads
from backend.shop.catalogue.models import MAX_NAME, MAX_STOCK, Product
from backend.shop.catalogue.serializers import PRICE, Money, read_price
from backend.shop.orders import actions as order_actions
from backend.shop.orders import reads as order_reads
from backend.shop.orders.errors import InsufficientStock
from backend.shop.orders.models import Order
from backend.shop.orders.serializers import NOT_PLACED, OrderLines, ProductKey, Quantity
from lockstep.rest import fields, problems
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import answer, if_match
from lockstep.rest.errors import DomainError, Invalid
from lockstep.rest.filters import Filters
from lockstep.rest.paging import offset_page
from lockstep.rest.parameters import QueryParameter, text
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse, etag
from lockstep.rest.schema import CHANGES_VERSION, CREATES_VERSION, CURSOR_PAGE, DELETES_VERSION, READS_VERSION
from lockstep.rest.serializers import ApiSerializer, StrictSerializer, page_of, validated
from lockstep.rest.views import View

IN_NAME = "folded_name__icontains"
FILTERS = Filters(
    (
        text(
            "keyword",
            "Only products whose name contains this text, ignoring case and spelling; all when empty.",
            may_be_empty=True,
        ),
        IN_NAME,
    ),
    (text("keywords", "Another name of `keyword`; all when empty.", may_be_empty=True), IN_NAME),
    (QueryParameter("max_price", PRICE, read_price, "Only products of this price or a lower one."), "price__lte"),
)


class NumberedProductSerializer(StrictSerializer):
    """A product, by its number."""

    id = serializers.IntegerField(source="number", read_only=True)
    name = fields.Text(max_length=MAX_NAME)
    price = Money()
    stock = fields.Integer(min_value=0, max_value=MAX_STOCK)
    example = {"id": 1001, "name": "RedBull", "price": "2.20", "stock": 100}


class NumberedLineSerializer(StrictSerializer):
    """A quantity of one product."""

    id = ProductKey()
    quantity = Quantity()
    example = {"id": 1001, "quantity": 15}


@extend_schema_field(serializers.ListField(child=NumberedLineSerializer()))
class NumberedLines(OrderLines):
    """The products of an order, with their quantities."""

    line = NumberedLineSerializer()
    product = "id"


class FinalOrderSerializer(StrictSerializer):
    """The products of an order that is final at once."""

    products = NumberedLines()
    example = {"products": [{"id": 1001, "quantity": 15}, {"id": 1002, "quantity": 13}]}


class OrderedLineSerializer(ApiSerializer):
    """A line of an order, at the price when it was placed."""

    id = serializers.IntegerField(source="number")
    name = serializers.CharField()
    price = Money()
    quantity = serializers.IntegerField()


class NumberedOrderSerializer(ApiSerializer):
    """An order, by its number."""

    id = serializers.IntegerField(source="number")
    state = serializers.CharField()
    products = OrderedLineSerializer(source="lines", many=True)
    total = serializers.CharField()
    created = serializers.DateTimeField()
    example = {
        "id": 4711,
        "state": "ACCEPTED",
        "products": [{"id": 1001, "name": "RedBull", "price": "2.20", "quantity": 15}],
        "total": "33.00",
        "created": "2026-01-31T12:00:00Z",
    }


class NumberedProductListView(View):
    """Products on sale."""

    @extend_schema(
        operation_id="list_numbered_products",
        parameters=[*FILTERS.parameters, *CURSOR_PAGE],
        responses=page_of(NumberedProductSerializer),
    )
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists products on sale, and all of your own, newest first."""
        products = FILTERS.apply(request, Product.objects.visible_to(request.user))
        return offset_page(request, products, shape=NumberedProductSerializer.represent)

    @extend_schema(
        operation_id="create_numbered_product",
        parameters=CREATES_VERSION,
        request=NumberedProductSerializer,
        responses={201: NumberedProductSerializer},
    )
    def post(self, request: Request) -> ApiResponse:
        """Creates a product of yours, on sale at once."""
        values = validated(NumberedProductSerializer, request.data)
        created = product_actions.create_product(actor=actor_of(request), owner=request.user, **values)
        return _product(request, str(created.pk), status=201)


class NumberedProductView(View):
    """Returns a product."""

    @extend_schema(operation_id="get_numbered_product", parameters=READS_VERSION, responses=NumberedProductSerializer)
    def get(self, request: Request, key: str) -> ApiResponse:
        return _product(request, key)

    @extend_schema(
        operation_id="replace_numbered_product",
        parameters=CHANGES_VERSION,
        request=NumberedProductSerializer,
        responses=NumberedProductSerializer,
    )
    def put(self, request: Request, key: str) -> ApiResponse:
        """Replaces the name, price and stock of a product of yours."""
        product = product_reads.own_product(key, request.user)
        current = NumberedProductSerializer.represent(product)
        values = validated(NumberedProductSerializer, request.data, current=current)
        product_actions.update_product(actor=actor_of(request), product=product, match=if_match(request), **values)
        return _product(request, key)

    @extend_schema(operation_id="delete_numbered_product", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, key: str) -> ApiResponse:
        """Deletes a product of yours; orders of it are not affected."""
        product = product_reads.own_product(key, request.user)
        product_actions.delete_product(actor=actor_of(request), product=product, match=if_match(request))
        return ApiResponse(status=204)


class PaymentNeeded(DomainError):
    """Orders need a payment: POST /api/v1/orders/, then POST /api/v1/orders/<id>/confirm/ with a card."""

    problem = problems.FORBIDDEN


class FinalOrderView(View):
    """Orders that are final at once."""

    @extend_schema(
        operation_id="list_numbered_orders", parameters=CURSOR_PAGE, responses=page_of(NumberedOrderSerializer)
    )
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists all your orders, newest first."""
        return offset_page(request, Order.objects.alive().of(request.user), shape=NumberedOrderSerializer.represent)

    @extend_schema(
        operation_id="create_final_order",
        parameters=CREATES_VERSION,
        request=FinalOrderSerializer,
        responses={201: NumberedOrderSerializer, **NOT_PLACED},
    )
    def post(self, request: Request) -> ApiResponse:
        """Places an order of all products or none, final at once; 403 where orders need a payment."""
        if not settings.ORDERS_WITHOUT_PAYMENT:
            raise PaymentNeeded
        lines = validated(FinalOrderSerializer, request.data)["products"]
        try:
            placed = order_actions.place_order(actor=actor_of(request), buyer=request.user, lines=lines, final=True)
        except InsufficientStock as error:
            raise error.of("products") from error
        except Invalid as error:
            raise error.renamed(lines="products") from error
        order = order_reads.order(str(placed.number), request.user)
        return ApiResponse(NumberedOrderSerializer.represent(order), status=201, headers={"ETag": etag(order.version)})


def _product(request: Request, key: str, status: int = 200) -> ApiResponse:
    product = product_reads.product(key, request.user)
    return answer(request, NumberedProductSerializer.represent(product), product.version, status=status)
