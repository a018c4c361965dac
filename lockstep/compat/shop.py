"""The shop as its predecessor had it: `id` is a number, an order is final at once."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from lockstep.api import fields, problems
from lockstep.api.answers import Answer
from lockstep.api.concurrency import answer, if_match
from lockstep.api.errors import DomainError, Invalid
from lockstep.api.paging import offset_page
from lockstep.api.parameters import QueryParameter, text
from lockstep.api.requests import Asking, actor_of
from lockstep.api.schema import CHANGES_VERSION, CREATES_VERSION, CURSOR_PAGE, DELETES_VERSION, READS_VERSION
from lockstep.api.serializers import StrictSerializer, page_of
from lockstep.api.views import View
from lockstep.shop import actions, reads
from lockstep.shop.actions import InsufficientStock, Line
from lockstep.shop.models import MAX_NAME, MOST_LINES, MOST_STOCK, Order, Product
from lockstep.shop.serializers import NOT_PLACED, PRICE, Money, ProductKey, Quantity, read_price

NARROWING = [
    text(
        "keyword",
        "Only products whose name contains this text, ignoring case and spelling; all when empty.",
        may_be_empty=True,
    ),
    text("keywords", "Another name of `keyword`; all when empty.", may_be_empty=True),
    QueryParameter("max_price", PRICE, read_price, "Only products of this price or a lower one."),
]
NARROWS = {"keyword": "folded_name__icontains", "keywords": "folded_name__icontains", "max_price": "price__lte"}


class NumberedProductSerializer(StrictSerializer):
    """A product, by its number."""

    id = serializers.IntegerField(read_only=True)
    name = fields.Text(max_length=MAX_NAME)
    price = Money()
    stock = fields.Integer(min_value=0, max_value=MOST_STOCK)
    example = {"id": 1001, "name": "RedBull", "price": "2.20", "stock": 100}


class NumberedLineSerializer(StrictSerializer):
    """A quantity of one product."""

    id = ProductKey()
    quantity = Quantity()
    example = {"id": 1001, "quantity": 15}


class FinalOrderSerializer(StrictSerializer):
    """The products of an order that is final at once."""

    products = serializers.ListField(child=NumberedLineSerializer(), min_length=1, max_length=MOST_LINES)
    example = {"products": [{"id": 1001, "quantity": 15}, {"id": 1002, "quantity": 13}]}


class OrderedLineSerializer(serializers.Serializer[Any]):
    """A line of an order, at the price when it was placed."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    price = Money()
    quantity = serializers.IntegerField()


class NumberedOrderSerializer(serializers.Serializer[Any]):
    """An order, by its number."""

    id = serializers.IntegerField()
    state = serializers.CharField()
    products = OrderedLineSerializer(many=True)
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
        parameters=[*NARROWING, *CURSOR_PAGE],
        responses=page_of(NumberedProductSerializer),
    )
    def get(self, request: Asking) -> Answer:
        """Lists products on sale, and all of your own, newest first."""
        return offset_page(request, _narrowed(request), shape=_shown)

    @extend_schema(
        operation_id="create_numbered_product",
        parameters=CREATES_VERSION,
        request=NumberedProductSerializer,
        responses={201: NumberedProductSerializer},
    )
    def post(self, request: Request) -> Answer:
        """Creates a product of yours, on sale at once."""
        given = NumberedProductSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        created = actions.create_product(actor=actor_of(request), owner=request.user, **given.validated_data)
        return _product(request, str(created.pk), status=201)


class NumberedProductView(View):
    """Returns a product."""

    @extend_schema(operation_id="get_numbered_product", parameters=READS_VERSION, responses=NumberedProductSerializer)
    def get(self, request: Request, key: str) -> Answer:
        return _product(request, key)

    @extend_schema(
        operation_id="replace_numbered_product",
        parameters=CHANGES_VERSION,
        request=NumberedProductSerializer,
        responses=NumberedProductSerializer,
    )
    def put(self, request: Request, key: str) -> Answer:
        """Replaces the name, price and stock of a product of yours."""
        product = reads.own_product(key, request.user)
        given = NumberedProductSerializer(data=request.data, shown=_shown(product))
        given.is_valid(raise_exception=True)
        actions.update_product(
            actor=actor_of(request), product=product, match=if_match(request), **given.validated_data
        )
        return _product(request, key)

    @extend_schema(operation_id="delete_numbered_product", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, key: str) -> Answer:
        """Deletes a product of yours; orders of it are not affected."""
        product = reads.own_product(key, request.user)
        actions.delete_product(actor=actor_of(request), product=product, match=if_match(request))
        return Answer(status=204)


class PaymentNeeded(DomainError):
    """Orders need a payment: POST /api/v1/orders/, then POST /api/v1/orders/<id>/confirm/ with a card."""

    problem = problems.FORBIDDEN


class FinalOrderView(View):
    """Orders that are final at once."""

    @extend_schema(
        operation_id="list_numbered_orders", parameters=CURSOR_PAGE, responses=page_of(NumberedOrderSerializer)
    )
    def get(self, request: Asking) -> Answer:
        """Lists all your orders, newest first."""
        return offset_page(request, Order.objects.alive().of(request.user), shape=_shown_order)

    @extend_schema(
        operation_id="create_final_order",
        parameters=CREATES_VERSION,
        request=FinalOrderSerializer,
        responses={201: NumberedOrderSerializer, **NOT_PLACED},
    )
    def post(self, request: Request) -> Answer:
        """Places an order of all products or none, final at once; 403 where orders need a payment."""
        if not settings.ORDERS_WITHOUT_PAYMENT:
            raise PaymentNeeded
        given = FinalOrderSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        lines = [Line(line["id"], line["quantity"]) for line in given.validated_data["products"]]
        try:
            placed = actions.place_order(actor=actor_of(request), buyer=request.user, lines=lines, final=True)
        except InsufficientStock as error:
            raise error.of("products") from error
        except Invalid as error:
            raise error.renamed(lines="products") from error
        order = reads.order(str(placed.number), request.user)
        return answer(request, _shown_order(order), order.version, status=201)


def _narrowed(request: Asking) -> QuerySet[Product]:
    rows = Product.objects.visible_to(request.user)
    for name, comparison in NARROWS.items():
        if name in request.parameters:
            rows = rows.filter(**{comparison: request.parameters[name]})
    return rows


def _product(request: Request, key: str, status: int = 200) -> Answer:
    product = reads.product(key, request.user)
    return answer(request, _shown(product), product.version, status=status)


def _shown(product: Product) -> dict[str, Any]:
    return {"id": product.number, "name": product.name, "price": str(product.price), "stock": product.stock}


def _shown_order(order: Order) -> dict[str, Any]:
    names = {"id": "number", "name": "name", "price": "price", "quantity": "quantity"}
    return {
        "id": order.number,
        "state": order.state,
        "products": [{name: line[ours] for name, ours in names.items()} for line in order.lines],
        "total": str(order.total),
        "created": order.created,
    }
