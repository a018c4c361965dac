"""Ends a confirmed order whose payment cannot be decided."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from lockstep.api.errors import Conflict
from lockstep.changes import commands
from lockstep.shop import actions
from lockstep.shop.models import Order


class Command(commands.Command):
    help = "Ends a confirmed order whose payment cannot be decided. An order that the gateway has charged is accepted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=commands.whole_number(1), help="the order's number")

    def handle(self, *args: Any, number: int, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        order = Order.objects.alive().filter(number=number).first()
        if order is None:
            raise CommandError(f"There is no order {number}.")
        try:
            actions.end_order(actor="", order=order)
        except Conflict as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"A worker looks the charge of order {number} up, and ends the order if it was not charged.")
