"""Ends a confirmed order whose payment cannot be decided."""

from django.core.management.base import CommandError, CommandParser

from backend.shop.orders.models import Order
from backend.shop.payments import actions
from lockstep.changes import commands
from lockstep.rest.errors import Conflict


class Command(commands.Command):
    traced = True
    help = "Ends a confirmed order whose payment cannot be decided. An order that the gateway has charged is accepted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=commands.whole_number(1), help="the order's number")
        parser.add_argument(
            "--without-answer",
            action="store_true",
            help="reject an order that was ended before, although the gateway does not say whether it was charged",
        )

    def handle(self, *args: object, number: int, without_answer: bool, **options: object) -> None:
        order = Order.objects.alive().filter(number=number).first()
        if order is None:
            raise CommandError(f"There is no order {number}.")
        try:
            end = actions.end_order_unanswered if without_answer else actions.end_order
            end(actor="", order=order)
        except Conflict as error:
            raise CommandError(str(error)) from error
        order.refresh_from_db()
        line = f"A worker looks the charge of order {number} up, and ends the order if it was not charged."
        if without_answer:
            line = f"Order {number} is rejected. A charge that shows later is a dead letter of payments."
        self.report({"order": number, "state": order.state}, [line])
        self.suggest("See whether a worker runs, and what waits: `manage.py lockstep status`")
