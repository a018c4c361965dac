"""The lines of an order are validated as REST framework's own list of serializers would: the same errors."""

from typing import Any
from uuid import UUID

import pytest
from rest_framework import serializers

from backend.compat.shop import FinalOrderSerializer, NumberedLineSerializer
from backend.shop.orders.models import MAX_LINES, MAX_QUANTITY
from backend.shop.orders.serializers import NewLineSerializer, NewOrderSerializer
from lockstep.rest.serializers import StrictSerializer

KEY = "019a1b2c-3d4e-7f50-8a6b-7c8d9e0f1a2b"
DIGITS, LONG = "12", "1" * 1_001
QUANTITIES: list[Any] = [
    *(0, -1, 1, MAX_QUANTITY, MAX_QUANTITY + 1, 10**30, 1.0, 1.5, True, False, None, "", " ", "2", "02", "+2", "2.0"),
    *("\u0662", "two", [], [1], {}, {"quantity": 1}, LONG, "1" * 1_000, [1] * 1_001, "\0", "2\n"),
]
PRODUCTS: list[Any] = [
    *(
        0,
        -1,
        7,
        10**18 - 1,
        10**18,
        10**30,
        7.0,
        True,
        False,
        None,
        "",
        " ",
        DIGITS,
        "007",
        "-7",
        "\u0667",
        KEY,
        KEY.upper(),
    ),
    *(
        KEY[:-1],
        f"{{{KEY}}}",
        KEY.replace("-", ""),
        f" {KEY}",
        f"{KEY}\n",
        [],
        [7],
        {},
        {"id": 7},
        LONG,
        [7] * 1_001,
        "\0",
    ),
]
GOOD = {"product": KEY, "quantity": 1}
LINES: list[Any] = [
    *({"product": KEY, "quantity": one} for one in QUANTITIES),
    *({"product": one, "quantity": 1} for one in PRODUCTS),
    *({}, {"product": KEY}, {"quantity": 1}, {"product": 7, "quantity": 1, "price": "1.00"}, {"a": 1, "b": [LONG]}),
    *({"product": LONG, "quantity": 0, "": 1}, {str(n): n for n in range(300)}, {"Product": KEY, "quantity": 1}),
    *(None, True, 1, 1.5, "", "a line", [], [GOOD], [[]], {"lines": [GOOD]}),
]
BODIES: list[Any] = [
    *({"lines": [line]} for line in LINES),
    *({"lines": one} for one in (None, True, 1, 1.5, "", "lines", LONG, "l" * MAX_LINES, {}, GOOD, {"0": GOOD}, [])),
    *({"lines": [GOOD] * number} for number in (1, 2, MAX_LINES, MAX_LINES + 1, 1_001)),
    *({"lines": [{}] * number} for number in (2, MAX_LINES, MAX_LINES + 1)),
    {"lines": [GOOD, {"product": 7, "quantity": 0}, GOOD, {"quantity": "x"}, None]},
    *(
        {},
        {"line": [GOOD]},
        {"lines": [GOOD], "final": True},
        {"lines": [], "a": 1, "b": 2},
        [],
        [GOOD],
        None,
        1,
        "",
        "lines",
    ),
]


class ListedOrderSerializer(StrictSerializer):
    """An order as REST framework would validate it."""

    lines = serializers.ListField(child=NewLineSerializer(), min_length=1, max_length=MAX_LINES)


class ListedFinalOrderSerializer(StrictSerializer):
    """A final order as REST framework would validate it."""

    products = serializers.ListField(child=NumberedLineSerializer(), min_length=1, max_length=MAX_LINES)


def renamed(value: Any, names: dict[str, str]) -> Any:
    """The value with other names of its members, at any depth."""
    if isinstance(value, dict):
        return {names.get(name, name): renamed(one, names) for name, one in value.items()}
    return [renamed(one, names) for one in value] if isinstance(value, list) else value


def errors_of(serializer: StrictSerializer) -> Any:
    """The errors in their order, with their codes."""
    serializer.is_valid()

    def plain(detail: Any) -> Any:
        if isinstance(detail, dict):
            return [(name, plain(one)) for name, one in detail.items()]
        return [plain(one) for one in detail] if isinstance(detail, list) else (str(detail), detail.code)

    return plain(serializer.errors)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body)[:60])
def test_errors_equal_those_of_a_list_of_serializers(body: Any):
    ours, listed = NewOrderSerializer(data=body), ListedOrderSerializer(data=body)
    assert errors_of(ours) == errors_of(listed)
    if not ours.errors:
        lines = [(line["product"], line["quantity"]) for line in listed.validated_data["lines"]]
        assert [(line.product, line.quantity) for line in ours.validated_data["lines"]] == lines
    final = renamed(body, {"lines": "products", "product": "id"})
    assert errors_of(FinalOrderSerializer(data=final)) == errors_of(ListedFinalOrderSerializer(data=final))


def test_bodies_are_valid_and_invalid_in_all_ways():
    validity = [NewOrderSerializer(data=body).is_valid() for body in BODIES]
    assert 10 < sum(validity) < len(validity) - 50
    serializer = NewOrderSerializer(data={"lines": [GOOD, {"product": "7", "quantity": "2"}]})
    serializer.is_valid(raise_exception=True)
    assert [(line.product, line.quantity) for line in serializer.validated_data["lines"]] == [(UUID(KEY), 1), (7, 2)]
