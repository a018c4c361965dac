"""Serializers of bags and orders."""

from typing import Any
from uuid import UUID

from django.core.validators import MaxLengthValidator, MinLengthValidator
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from backend.shop.catalogue.serializers import ID, NUMBER, TIME, Money
from backend.shop.orders.actions import Line
from backend.shop.orders.models import MAX_LINES, MAX_QUANTITY
from backend.shop.states import machines
from lockstep.rest import fields
from lockstep.rest.errors import CONTENT_TYPE
from lockstep.rest.numbers import NATURAL
from lockstep.rest.parameters import UUID_TEXT
from lockstep.rest.serializers import ApiSerializer, ProblemSerializer, StrictSerializer

MAX_NUMBER = 10**18 - 1


class Quantity(fields.Integer):
    """A quantity of one product."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(min_value=1, max_value=MAX_QUANTITY, **options)


@extend_schema_field(
    {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}, {"type": "string", "format": "uuid"}]}
)
class ProductKey(serializers.Field):  # type: ignore[type-arg]  # it takes none at run time
    """The id of a product, or its number, which may be a string of digits, as in the predecessors' APIs."""

    def to_internal_value(self, data: object) -> UUID | int:
        if type(data) is int and 0 <= data <= MAX_NUMBER:
            return data
        if isinstance(data, str) and UUID_TEXT.fullmatch(data):
            return UUID(data)
        if isinstance(data, str) and NATURAL.fullmatch(data) and int(data) <= MAX_NUMBER:
            return int(data)
        raise serializers.ValidationError("Must be the id of a product, or its number.")


class QuantitySerializer(StrictSerializer):
    """The quantity of a product in the bag."""

    quantity = Quantity()
    example = {"quantity": 2}


class BagLineSerializer(ApiSerializer):
    """A line of the bag, at the current price."""

    product = serializers.UUIDField(source="product_id")
    number = serializers.IntegerField(source="product.number")
    name = serializers.CharField(source="product.name")
    price = Money(source="product.price")
    quantity = Quantity()
    available = serializers.IntegerField(help_text="The quantity that can be ordered now.")


class BagSerializer(ApiSerializer):
    """The user's bag."""

    lines = BagLineSerializer(many=True)
    total = serializers.CharField(help_text="The total at current prices.")
    example = {
        "lines": [
            {"product": ID, "number": NUMBER, "name": "Red bicycle", "price": "249.90", "quantity": 1, "available": 12}
        ],
        "total": "249.90",
    }


@extend_schema_serializer(component_name="AskedLine")
class NewLineSerializer(StrictSerializer):
    """A quantity of one product."""

    product = ProductKey()
    quantity = Quantity()
    example = {"product": ID, "quantity": 2}


@extend_schema_field(serializers.ListField(child=NewLineSerializer()))
class OrderLines(serializers.Field):  # type: ignore[type-arg]  # it takes none at run time
    """The lines of an order, at most MAX_LINES; their values are Lines."""

    line: StrictSerializer = NewLineSerializer()  # of one line: a product, and a quantity
    product = "product"  # the name of the product's field
    max_length = MAX_LINES  # StrictSerializer checks it, before the lines
    default_error_messages = {"not_a_list": 'Expected a list of items but got type "{input_type}".'}
    default_validators = [
        MaxLengthValidator(MAX_LINES),
        MinLengthValidator(1, message="Ensure this field has at least 1 elements."),
    ]

    def to_internal_value(self, data: object) -> list[Line]:
        """The lines. Raises ValidationError with the errors of each line by its index."""
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        lines: list[Line] = []
        errors: dict[Any, Any] = {}
        for index, line in enumerate(data):
            try:
                lines.append(self._read_line(line))
            except serializers.ValidationError as error:
                errors[index] = error.detail
        if errors:
            raise serializers.ValidationError(errors)
        return lines

    def _read_line(self, data: object) -> Line:
        """A line. A valid one skips REST framework's steps, which take most of the time of a long order."""
        if isinstance(data, dict) and len(data) == 2:
            product, quantity = data.get(self.product), data.get("quantity")
            if type(quantity) is int and 1 <= quantity <= MAX_QUANTITY:
                if type(product) is int and 0 <= product <= MAX_NUMBER:
                    return Line(product, quantity)
                if isinstance(product, str) and UUID_TEXT.fullmatch(product):
                    return Line(UUID(product), quantity)
        return Line(*self.line.run_validation(data).values())


@extend_schema_serializer(component_name="AskedOrder")
class NewOrderSerializer(StrictSerializer):
    """The lines of an order; lines of the same product are added up."""

    lines = OrderLines()
    example = {"lines": [{"product": ID, "quantity": 2}]}


class OrderLineSerializer(ApiSerializer):
    """A line of an order, at the price when it was placed."""

    product = serializers.UUIDField()
    number = serializers.IntegerField()
    name = serializers.CharField()
    price = Money()
    quantity = serializers.IntegerField()


@extend_schema_field(OrderLineSerializer(many=True))
class StoredLines(serializers.JSONField):
    """The lines of an order, as its column has them: JSON already."""


class OrderStepSerializer(ApiSerializer):
    """A change of an order's state."""

    state = serializers.ChoiceField(machines.ORDER_STATES, source="target")
    at = serializers.DateTimeField()
    reason = serializers.CharField(allow_blank=True)


class OrderSerializer(ApiSerializer):
    """An order of the user."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    state = serializers.ChoiceField(machines.ORDER_STATES)
    reason = serializers.CharField(allow_blank=True, help_text="Why the order is in its state; may be empty.")
    lines = StoredLines()
    total = serializers.CharField()
    confirm_until = serializers.DateTimeField(
        source="deadline", allow_null=True, help_text="The deadline for confirming the order."
    )
    created = serializers.DateTimeField()
    updated = serializers.DateTimeField()
    example = {
        "id": ID,
        "number": 4711,
        "state": "PENDING_CONFIRMATION",
        "reason": "",
        "lines": [{"product": ID, "number": NUMBER, "name": "Red bicycle", "price": "249.90", "quantity": 2}],
        "total": "499.80",
        "confirm_until": "2026-01-31T12:05:00Z",
        "created": TIME,
        "updated": TIME,
    }


class OrderWithHistorySerializer(OrderSerializer):
    """An order with all changes of its state, oldest first."""

    history = OrderStepSerializer(many=True)
    example = {
        **OrderSerializer.example,
        "history": [{"state": "PENDING_CONFIRMATION", "at": TIME, "reason": ""}],
    }


class StockLineSerializer(ApiSerializer):
    """A product of a refused order, and its available quantity."""

    product = serializers.UUIDField()
    asked = serializers.IntegerField()
    available = serializers.IntegerField()


class OrderProblemSerializer(ProblemSerializer):
    """The reason why an order was not placed. For insufficient stock, `lines` has each product of the order."""

    lines = StockLineSerializer(many=True, required=False)
    optional = ("lines",)
    example = {
        "type": "/problems/insufficient-stock",
        "title": "Insufficient stock",
        "status": 409,
        "detail": "Not enough stock; nothing was ordered.",
        "errors": [{"field": "lines.0", "detail": "Requested: 2, available: 1."}],
        "lines": [{"product": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b", "asked": 2, "available": 1}],
    }


NOT_PLACED = {(409, CONTENT_TYPE): OrderProblemSerializer}  # errors of requests that place an order
