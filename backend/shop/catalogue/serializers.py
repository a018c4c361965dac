"""Serializers of products and tags. Money is a decimal string with two places."""

import re
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from backend.shop.catalogue.models import MAX_DESCRIPTION, MAX_NAME, MAX_STOCK, MAX_TAG
from backend.shop.states import machines
from lockstep.rest import fields, text
from lockstep.rest.serializers import StrictSerializer

PRICE_PATTERN = r"^[0-9]{1,10}(\.[0-9]{1,2})?$"
PRICE = {"type": "string", "format": "decimal", "pattern": PRICE_PATTERN}
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


class NewProductSerializer(StrictSerializer):
    """A new product. It is on sale at once."""

    id = serializers.UUIDField(read_only=True)
    number = serializers.IntegerField(read_only=True)
    owner = serializers.UUIDField(source="owner_id", read_only=True)
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

    def __init__(self, **options: object) -> None:
        super().__init__(max_length=MAX_TAG, **options)

    def to_internal_value(self, data: object) -> str:
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
