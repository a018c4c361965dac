"""Serializers of the shop. Money is a decimal string with two places."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backend.shop import machines
from backend.shop.diagrams import mermaid
from backend.shop.models import (
    MAX_DESCRIPTION,
    MAX_LINES,
    MAX_NAME,
    MAX_QUANTITY,
    MAX_STOCK,
    MAX_TAG,
    Order,
    OrderTransition,
    Product,
    Tag,
)
from lockstep.rest import fields, text
from lockstep.rest.errors import CONTENT_TYPE
from lockstep.rest.requests import read_key
from lockstep.rest.serializers import ProblemSerializer, StrictSerializer

MAX_NUMBER = 10**18 - 1
PRICE_PATTERN = r"^[0-9]{1,10}(\.[0-9]{1,2})?$"
PRICE = {"type": "string", "format": "decimal", "pattern": PRICE_PATTERN}
PLAIN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
ID, NUMBER = "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b", 1001
TIME = "2026-01-31T12:00:00Z"


class Money(fields.DecimalNumber):
    """A price: at least zero, with two decimal places."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_digits=12, decimal_places=2, min_value=Decimal(0), **options)


def read_price(text: str) -> Decimal:
    """Parses a price in a query. Raises ValueError."""
    if not re.fullmatch(PRICE_PATTERN, text, re.ASCII):
        raise ValueError("Must be a price such as 249.90: at most ten digits, a point and two more.")
    return Decimal(text)


class Quantity(fields.Integer):
    """A quantity of one product."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(min_value=1, max_value=MAX_QUANTITY, **options)


@extend_schema_field(
    {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}, {"type": "string", "format": "uuid"}]}
)
class ProductKey(serializers.Field):  # type: ignore[type-arg]  # it takes none at run time
    """The id of a product, or its number."""

    def to_internal_value(self, data: object) -> UUID | int:
        """The id or the number; a number may be a string of digits, as in the predecessors' APIs."""
        if type(data) is int and 0 <= data <= MAX_NUMBER:
            return data
        try:
            [key] = read_key(data if isinstance(data, str) else "").values()
        except ValueError as error:
            raise serializers.ValidationError("Must be the id of a product, or its number.") from error
        return cast("UUID | int", key)


class NewProductSerializer(StrictSerializer):
    """A new product. It is on sale at once."""

    id = serializers.UUIDField(read_only=True)
    number = serializers.IntegerField(read_only=True)
    owner = serializers.UUIDField(read_only=True)
    name = fields.Text(max_length=MAX_NAME)
    description = fields.Text(max_length=MAX_DESCRIPTION, allow_blank=True, required=False)
    price = Money()
    stock = fields.Integer(min_value=0, max_value=MAX_STOCK, required=False)
    state = serializers.ChoiceField(machines.PRODUCT_STATES, read_only=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    created = serializers.DateTimeField(read_only=True)
    updated = serializers.DateTimeField(read_only=True)
    example = {
        "id": ID,
        "number": NUMBER,
        "owner": "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2c",
        "name": "Red bicycle",
        "description": "A city bicycle with seven gears.",
        "price": "249.90",
        "stock": 12,
        "state": "ON_SALE",
        "tags": ["bicycle", "red"],
        "created": TIME,
        "updated": TIME,
    }


class ProductSerializer(NewProductSerializer):
    """A product. Other users see it while it is on sale."""

    state = serializers.ChoiceField(machines.PRODUCT_STATES, required=False)


class TagName(fields.Text):
    """The name of a tag, without invisible characters and surrounding spaces: names that look alike are equal."""

    default_error_messages = {"spaces": "Must not begin or end with a space."}

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the field's options
        super().__init__(max_length=MAX_TAG, **options)

    def to_internal_value(self, data: Any) -> str:  # noqa: ANN401 - REST framework's signature
        name = super().to_internal_value(data)
        if name != name.strip():
            self.fail("spaces")
        try:
            text.check_visible(name)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        return name


class TagSerializer(StrictSerializer):
    """A tag. Only staff change tags."""

    id = serializers.UUIDField(read_only=True)
    name = TagName()
    description = fields.Text(max_length=MAX_DESCRIPTION, allow_blank=True, required=False)
    created = serializers.DateTimeField(read_only=True)
    updated = serializers.DateTimeField(read_only=True)
    example = {"id": ID, "name": "bicycle", "description": "Has two wheels.", "created": TIME, "updated": TIME}


class QuantitySerializer(StrictSerializer):
    """The quantity of a product in the bag."""

    quantity = Quantity()
    example = {"quantity": 2}


class BagLineSerializer(serializers.Serializer[Any]):
    """A line of the bag, at the current price."""

    product = serializers.UUIDField()
    number = serializers.IntegerField()
    name = serializers.CharField()
    price = Money()
    quantity = Quantity()
    available = serializers.IntegerField(help_text="The quantity that can be ordered now.")


class BagSerializer(serializers.Serializer[Any]):
    """The user's bag."""

    lines = BagLineSerializer(many=True)
    total = serializers.CharField(help_text="The total at current prices.")
    example = {
        "lines": [
            {"product": ID, "number": NUMBER, "name": "Red bicycle", "price": "249.90", "quantity": 1, "available": 12}
        ],
        "total": "249.90",
    }


class AskedLineSerializer(StrictSerializer):
    """A quantity of one product."""

    product = ProductKey()
    quantity = Quantity()
    example = {"product": ID, "quantity": 2}


class AskedOrderSerializer(StrictSerializer):
    """The lines of an order; lines of the same product are added up."""

    lines = serializers.ListField(child=AskedLineSerializer(), min_length=1, max_length=MAX_LINES)
    example = {"lines": [{"product": ID, "quantity": 2}]}


class CardText(serializers.RegexField):
    """A part of a card, which is not trimmed; `message` is its error message."""

    def __init__(self, pattern: str, message: str, **options: Any) -> None:  # noqa: ANN401 - the field's options
        messages: dict[str, Any] = dict.fromkeys(("invalid", "blank"), message)
        super().__init__(pattern, trim_whitespace=False, write_only=True, error_messages=messages, **options)


class CardSerializer(StrictSerializer):
    """A payment card. It is passed to the payment gateway and never stored."""

    card_number = CardText(r"^[0-9 -]{12,30}$", "Must be the digits of a card, with or without spaces.")
    expiry = CardText(r"^[0-9]{2}/[0-9]{2}$", "Must be MM/YY, such as 12/40.", help_text="MM/YY")
    cvc = CardText(r"^[0-9]{3,4}$", "Must be three or four digits.")
    example = {"card_number": "4242424242424242", "expiry": "12/40", "cvc": "123"}


class ConfirmationSerializer(StrictSerializer):
    """The payment of an order."""

    payment = CardSerializer()
    example = {"payment": CardSerializer.example}


class OrderLineSerializer(serializers.Serializer[Any]):
    """A line of an order, at the price when it was placed."""

    product = serializers.UUIDField()
    number = serializers.IntegerField()
    name = serializers.CharField()
    price = Money()
    quantity = serializers.IntegerField()


class OrderStepSerializer(serializers.Serializer[Any]):
    """A change of an order's state."""

    state = serializers.ChoiceField(machines.ORDER_STATES)
    at = serializers.DateTimeField()
    reason = serializers.CharField(allow_blank=True)


class OrderSerializer(serializers.Serializer[Any]):
    """An order of the user."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    state = serializers.ChoiceField(machines.ORDER_STATES)
    reason = serializers.CharField(allow_blank=True, help_text="Why the order is in its state; may be empty.")
    lines = OrderLineSerializer(many=True)
    total = serializers.CharField()
    confirm_until = serializers.DateTimeField(allow_null=True, help_text="The deadline for confirming the order.")
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


class TransitionSerializer(serializers.Serializer[Any]):
    """A transition from one state to another."""

    name = serializers.CharField()
    from_state = serializers.CharField()
    to_state = serializers.CharField()
    meaning = serializers.CharField()


class MachineSerializer(serializers.Serializer[Any]):
    """The states and transitions of one kind of object."""

    name = serializers.CharField()
    initial = serializers.ListField(child=serializers.CharField())
    transitions = TransitionSerializer(many=True)
    diagram = serializers.CharField(help_text="The state diagram, in Mermaid's syntax.")
    example = {
        "name": "a bag",
        "initial": ["OPEN"],
        "transitions": [{"name": "order", "from_state": "OPEN", "to_state": "ORDERED", "meaning": "It is ordered."}],
        "diagram": "stateDiagram-v2\n    [*] --> OPEN\n    OPEN --> ORDERED: order\n    ORDERED --> [*]",
    }


def plain_lines(data: object) -> list[tuple[UUID | int, int]]:
    """The lines of a valid order; none if the serializer has to validate it."""
    raw = data["lines"] if isinstance(data, dict) and data.keys() == {"lines"} else None
    if not isinstance(raw, list) or len(raw) > MAX_LINES:
        return []
    lines = [_plain_line(line) for line in raw]
    return [] if None in lines else cast("list[tuple[UUID | int, int]]", lines)


def _plain_line(line: object) -> tuple[UUID | int, int] | None:
    if not isinstance(line, dict) or line.keys() != {"product", "quantity"}:
        return None
    product, quantity = line["product"], line["quantity"]
    if type(quantity) is not int or not 0 < quantity <= MAX_QUANTITY:
        return None
    if type(product) is int and 0 <= product <= MAX_NUMBER:
        return product, quantity
    if type(product) is str and PLAIN_ID.fullmatch(product):
        return UUID(product), quantity
    return None


class StockLineSerializer(serializers.Serializer[Any]):
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


def serialize_product(product: Product) -> dict[str, Any]:
    """The representation of a product."""
    return {
        "id": product.pk,
        "number": product.number,
        "owner": product.owner_id,
        "name": product.name,
        "description": product.description,
        "price": str(product.price),
        "stock": product.stock,
        "state": product.state,
        "tags": product.tags,
        "created": product.created,
        "updated": product.updated,
    }


def serialize_machine(machine: machines.Machine) -> dict[str, Any]:
    """The representation of a state machine."""
    return {
        "name": machine.name,
        "initial": list(machine.initial),
        "transitions": [
            {"name": one.name, "from_state": one.source, "to_state": one.target, "meaning": one.meaning}
            for one in machine.transitions
        ],
        "diagram": mermaid(machine),
    }


def serialize_tag(tag: Tag) -> dict[str, Any]:
    """The representation of a tag."""
    names = ("id", "name", "description", "created", "updated")
    return {name: getattr(tag, name) for name in names}


def serialize_bag(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The representation of a bag."""
    total = sum((line["price"] * line["quantity"] for line in lines), Decimal("0.00"))
    return {"lines": [{**line, "price": str(line["price"])} for line in lines], "total": str(total)}


def serialize_order(order: Order) -> dict[str, Any]:
    """The representation of an order."""
    return {
        "id": order.pk,
        "number": order.number,
        "state": order.state,
        "reason": order.reason,
        "lines": order.lines,
        "total": str(order.total),
        "confirm_until": order.confirm_until if order.state == machines.PENDING_CONFIRMATION else None,
        "created": order.created,
        "updated": order.updated,
    }


def serialize_order_with_history(order: Order, steps: list[OrderTransition]) -> dict[str, Any]:
    """The representation of an order with all changes of its state."""
    begun = steps[0].source if steps else order.state
    history = [{"state": begun, "at": order.created, "reason": ""}]
    history += [{"state": step.target, "at": step.at, "reason": step.reason} for step in steps]
    return {**serialize_order(order), "history": history}
