"""Which states things of the shop have, and what leads from one to another: said here, and nowhere else.

The database refuses any other change of state (`Machine.guard`), whoever makes it. docs/states.md is drawn from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pgtrigger
from django.db import models


@dataclass(frozen=True, slots=True)
class Transition:
    """What somebody or something does, from where it may be done, and where it leads."""

    name: str
    source: str
    target: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Machine:
    """All states of one thing; it begins in one of `initial`."""

    name: str
    initial: Sequence[str]
    transitions: Sequence[Transition]

    @property
    def states(self) -> list[str]:
        """All of them, in the order in which they are reached."""
        reached = [*self.initial, *(state for one in self.transitions for state in (one.source, one.target))]
        return list(dict.fromkeys(reached))

    @property
    def final(self) -> list[str]:
        """Those that nothing leads out of."""
        return [state for state in self.states if not any(one.source == state for one in self.transitions)]

    def transition(self, name: str) -> Transition:
        """The one of this name; raises StopIteration for a name that there is not."""
        return next(one for one in self.transitions if one.name == name)

    def choices(self) -> list[tuple[str, str]]:
        """For a model's field."""
        return [(state, state.replace("_", " ").lower()) for state in self.states]

    def check(self, name: str) -> models.CheckConstraint:
        """The constraint that a state is one of these."""
        return models.CheckConstraint(name=name, condition=models.Q(state__in=self.states))

    def guard(self) -> list[pgtrigger.Trigger]:
        """The triggers that refuse to begin elsewhere, and to go where no transition leads."""
        steps = dict.fromkeys((one.source, one.target) for one in self.transitions)
        pairs = ", ".join(f"('{source}', '{target}')" for source, target in steps)
        begins = ", ".join(f"'{state}'" for state in self.initial)
        return [
            pgtrigger.Trigger(
                name="begin",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                condition=pgtrigger.Condition(f"NEW.state NOT IN ({begins})"),
                func=self._refusal("'nothing'"),
            ),
            pgtrigger.Trigger(
                name="go_on",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    f"OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN ({pairs})"
                ),
                func=self._refusal("OLD.state"),
            ),
        ]

    def _refusal(self, source: str) -> str:
        text = f"No transition of {self.name} leads from % to %."
        return f"RAISE EXCEPTION '{text}', {source}, NEW.state USING ERRCODE = 'check_violation';"


ON_SALE, OFF_SALE = "ON_SALE", "OFF_SALE"
PRODUCT = Machine(
    "a product",
    (ON_SALE,),
    (
        Transition("withdraw", ON_SALE, OFF_SALE, "Its owner takes it off sale; orders that were placed go on."),
        Transition("offer", OFF_SALE, ON_SALE, "Its owner sells it again."),
    ),
)

OPEN, ORDERED = "OPEN", "ORDERED"
BAG = Machine("a bag", (OPEN,), (Transition("order", OPEN, ORDERED, "An order was placed of what is in it."),))

PENDING_CONFIRMATION, CONFIRMED, ACCEPTED = "PENDING_CONFIRMATION", "CONFIRMED", "ACCEPTED"
UNPAID = (PENDING_CONFIRMATION, CONFIRMED)  # states that hold stock without having paid for it
NOT_CONFIRMED, CANCELLED, REJECTED = "NOT_CONFIRMED", "CANCELLED", "REJECTED"
ORDER = Machine(
    "an order",
    (PENDING_CONFIRMATION, ACCEPTED),  # what comes by the predecessor's route is final at once
    (
        Transition("confirm", PENDING_CONFIRMATION, CONFIRMED, "The buyer says how it is paid, in time."),
        Transition("expire", PENDING_CONFIRMATION, NOT_CONFIRMED, "The time to confirm is over; the stock is back."),
        Transition("cancel", PENDING_CONFIRMATION, CANCELLED, "The buyer does not want it; the stock is back."),
        Transition("accept", CONFIRMED, ACCEPTED, "It is paid."),
        Transition("reject", CONFIRMED, REJECTED, "The payment was declined; the stock is back."),
        Transition("end", CONFIRMED, REJECTED, "Staff end it, and it was not charged; the stock is back."),
    ),
)
MACHINES = (PRODUCT, BAG, ORDER)
PRODUCT_STATES, ORDER_STATES = PRODUCT.choices(), ORDER.choices()  # names of the API's description
