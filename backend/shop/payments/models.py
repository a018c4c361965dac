"""Payments of orders, and counts of attempts with cards."""

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from backend.shop.orders.models import MAX_TOTAL, Order


class Payment(models.Model):
    """The payment of a confirmed order. Its id is the idempotency key of the charge at the gateway."""

    uncaptured = "it has the token of a card; the order's own change has the result"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.OneToOneField(Order, models.PROTECT, related_name="payment")
    token = models.TextField(
        blank=True, help_text="The gateway's token of the card; empty once the payment is decided."
    )
    amount = models.DecimalField(max_digits=24, decimal_places=2)
    charge = models.TextField(blank=True, db_default="", help_text="The gateway's own id of the charge.")
    created = models.DateTimeField(db_default=Now())
    ending = models.DateTimeField(null=True, help_text="When staff began to end the order.")
    decided = models.DateTimeField(null=True)
    reason = models.TextField(blank=True, db_default="", help_text="Why it was declined.")

    class Meta:
        constraints = [
            models.CheckConstraint(name="shop_payment_amount", condition=models.Q(amount__range=(0, MAX_TOTAL))),
        ]

    def __str__(self) -> str:
        return f"payment of order {self.order_id}"


class CardTry(models.Model):
    """The number of recent attempts with cards, for one order or by one user (card_tries.py)."""

    uncaptured = "counts that are forgotten within the hour"

    key = models.TextField(primary_key=True)
    number = models.IntegerField()
    until = models.DateTimeField(db_index=True, help_text="When the count ends.")

    def __str__(self) -> str:
        return f"{self.number} until {self.until:%H:%M:%S}"
