"""Orders, the history of their states, and bags."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Self

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from backend.entities.models import BUMP_VERSION, AliveParent, Entity, EntityQuerySet, number_field
from backend.entities.transition_tables import BOTH_ROWS
from backend.shop.catalogue.models import Product, is_visible
from backend.shop.states import machines
from lockstep import capture
from lockstep.rest.users import AnyUser
from lockstep.sql import statements

MAX_LINES = 100  # of an order, and so of a bag
MAX_QUANTITY = 1_000_000  # units of one product in an order
# The largest value of the column. Without an upper bound NaN passes: PostgreSQL sorts it above every number.
MAX_TOTAL = Decimal("9999999999999999999999.99")
TRIGGERS = statements(__file__, "triggers")
LINE_SCHEMA = {  # of a line of an order, as it is stored
    "type": "object",
    "properties": {
        "product": {"type": "string", "format": "uuid"},
        "number": {"type": "integer"},
        "name": {"type": "string"},
        "price": {"type": "string", "format": "decimal"},
        "quantity": {"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY},
    },
    "required": ["product", "number", "name", "price", "quantity"],
}


class OrderQuerySet(EntityQuerySet["Order"]):
    """Filters of orders."""

    def of(self, buyer: AnyUser) -> Self:
        """Orders of one user."""
        return self.filter(buyer=buyer)


@capture(
    "number",
    "buyer_id",
    "state",
    "lines",
    "total",
    "confirm_until",
    "reason",
    readers="buyer_id",
    soft_delete="deleted",
)
class Order(Entity):
    """An order, at the prices when it was placed. Its lines never change, so they are a column."""

    json_schemas = {"lines": {"type": "array", "items": LINE_SCHEMA}}

    number = number_field("shop_order_number")
    # It is the first column of the index shop_order_of.
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="orders", db_index=False)
    state = models.TextField(choices=machines.ORDER.choices(), db_default=machines.PENDING_CONFIRMATION)
    lines = models.JSONField(help_text='[{"product", "number", "name", "price", "quantity"}], by product')
    total = models.DecimalField(max_digits=24, decimal_places=2)
    confirm_until = models.DateTimeField(null=True, help_text="The deadline for confirming the order.")
    reason = models.TextField(blank=True, db_default="", help_text="Why the order is in its state; may be empty.")

    objects = OrderQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("buyer"),
            *machines.ORDER.guard(),
            pgtrigger.Trigger(
                name="record_transition",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                referencing=BOTH_ROWS,
                func=TRIGGERS["record_transition"],
            ),
        ]
        constraints = [
            machines.ORDER.check("shop_order_state"),
            models.CheckConstraint(name="shop_order_total", condition=models.Q(total__range=(0, MAX_TOTAL))),
        ]
        indexes = [
            models.Index(fields=["buyer", "-id"], name="shop_order_of"),
            models.Index(
                fields=["confirm_until"],
                name="shop_order_due",
                condition=models.Q(state=machines.PENDING_CONFIRMATION),
            ),
            models.Index(fields=["buyer"], name="shop_order_unpaid", condition=models.Q(state__in=machines.UNPAID)),
        ]

    def __str__(self) -> str:
        return f"order {self.number}"

    @property
    def deadline(self) -> datetime | None:
        """The deadline for confirming the order, while it can be confirmed."""
        return self.confirm_until if self.state == machines.PENDING_CONFIRMATION else None

    @property
    def history(self) -> "list[OrderTransition]":
        """All states that the order has had, oldest first: one query. The first is how it began."""
        steps = list(self.transitions.order_by("id"))
        begun = OrderTransition(target=steps[0].source if steps else self.state, at=self.created, reason="")
        return [begun, *steps]


class OrderTransition(models.Model):
    """A change of an order's state, written by a trigger."""

    uncaptured = "a history itself; the order's own change has the state"

    id = models.BigAutoField(primary_key=True)
    order = models.ForeignKey(Order, models.CASCADE, related_name="transitions")
    source = models.TextField()
    target = models.TextField()
    at = models.DateTimeField(db_default=Now())
    actor = models.TextField(null=True, help_text="user:<id>; null for the system itself.")
    reason = models.TextField(blank=True, db_default="")

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


@capture("user_id", "state", "order_id", readers="user_id", soft_delete="deleted")
class Bag(Entity):
    """A shopping bag; each user has at most one open bag."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="bags")
    state = models.TextField(choices=machines.BAG.choices(), db_default=machines.OPEN)
    order = models.OneToOneField(
        Order, models.PROTECT, null=True, related_name="bag", help_text="The order of its contents."
    )

    objects = EntityQuerySet.as_manager()

    class Meta:
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("user"),
            *machines.BAG.guard(),
        ]
        constraints = [
            models.UniqueConstraint("user", name="shop_bag_open_once", condition=models.Q(deleted=None, state="OPEN")),
            machines.BAG.check("shop_bag_state"),
        ]

    def __str__(self) -> str:
        return f"bag of {self.user_id}"


class BagItemQuerySet(models.QuerySet["BagItem"]):
    """Filters of bag items."""

    def open_of(self, user: AnyUser) -> Self:
        """The items of the user's open bag."""
        return self.filter(bag__user=user, bag__state=machines.OPEN, bag__deleted=None)

    def contents(self, user: AnyUser) -> "BagContents":
        """The items with a product that the user may see, in the order in which they were added."""
        items = self.filter(is_visible(user, "product__")).select_related("product").order_by("added", "product")
        return BagContents(list(items))


class BagItem(models.Model):
    """A quantity of one product in a bag."""

    uncaptured = "private: the intentions of a user"

    pk = models.CompositePrimaryKey("bag", "product")
    bag = models.ForeignKey(Bag, models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, models.CASCADE, related_name="+")
    quantity = models.BigIntegerField()
    added = models.DateTimeField(db_default=Now())

    objects = BagItemQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(name="shop_bag_item_some", condition=models.Q(quantity__gt=0))]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.product_id}"

    @property
    def available(self) -> int:
        """The quantity that can be ordered now."""
        return self.product.stock if self.product.state == machines.ON_SALE else 0


@dataclass(frozen=True, slots=True)
class BagContents:
    """The lines of a bag, at current prices."""

    lines: Sequence[BagItem]

    @property
    def total(self) -> Decimal:
        """The price of all lines."""
        return sum((line.product.price * line.quantity for line in self.lines), Decimal("0.00"))
