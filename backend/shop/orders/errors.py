"""Why an order is not placed. A repeat can only help after the buyer has changed something."""

from collections.abc import Sequence

from django.conf import settings

from backend.entities import problems
from backend.shop.orders.models import BagItem
from lockstep.rest.errors import Conflict, Invalid
from lockstep.rest.fastpath import Row


class InsufficientStock(Conflict):
    """Not enough stock; nothing was ordered."""

    problem = problems.INSUFFICIENT_STOCK

    def __init__(self, found: Sequence[Row], field: str = "lines") -> None:
        super().__init__()
        self.found = found
        self.extensions = {
            "lines": [
                {"product": str(row["id"]), "asked": row["quantity"], "available": row["available"]} for row in found
            ]
        }
        self.errors = [
            {
                "field": f"{field}.{row['index']}",
                "detail": f"Requested: {row['quantity']}, available: {row['available']}.",
            }
            for row in found
            if row["available"] < row["quantity"]
        ]

    def of(self, field: str) -> "InsufficientStock":
        """This error for a route with another field name."""
        return InsufficientStock(self.found, field)


class UnknownProducts(Invalid):
    """The order has products that do not exist, or that its buyer may not see."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__({"lines": f"There is no product {', '.join(missing)}."})
        self.missing = missing


class TooManyUnpaid(Conflict):
    """The buyer's unpaid orders would exceed a limit."""

    def __init__(self, excess: str) -> None:
        limit = settings.UNPAID_ORDERS_PER_USER if excess == "orders" else settings.UNPAID_UNITS_PER_USER
        super().__init__(
            f"Your unpaid orders may be at most {limit} {excess} together. "
            "Confirm or cancel one, or wait until one expires."
        )


class ProductsGone(Conflict):
    """Some products of the bag are no longer sold. Nothing was ordered; read the bag again."""

    def __init__(self, lines: Sequence[BagItem], unknown: UnknownProducts) -> None:
        super().__init__()
        self.errors = [
            {
                "field": f"lines.{index}",
                "detail": f"{line.product.name} (product {line.product.number}) is no longer sold.",
            }
            for index, line in enumerate(lines)
            if str(line.product_id) in unknown.missing
        ]
