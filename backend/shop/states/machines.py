"""State machines of products, bags and orders.

The database refuses any other change of state (`Machine.guard`), for every writer. docs/states.md is made from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pgtrigger
from django.db import models

from lockstep.sql import Statement, joined, literal, statements

SQL = statements(__file__, "machines")


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition: its name, its states, and its meaning."""

    name: str
    source: str
    target: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The state machine of one kind of object, which begins in one of `initial`."""

    name: str
    initial: Sequence[str]
    transitions: Sequence[Transition]

    @property
    def states(self) -> list[str]:
        """All states, in the order in which they are reached."""
        reached = [*self.initial, *(state for one in self.transitions for state in (one.source, one.target))]
        return list(dict.fromkeys(reached))

    @property
    def final(self) -> list[str]:
        """The states without transitions to another one."""
        return [state for state in self.states if not any(one.source == state for one in self.transitions)]

    @property
    def diagram(self) -> str:
        """The state diagram, in Mermaid's syntax."""
        lines = [f"    [*] --> {state}" for state in self.initial]
        lines += [f"    {one.source} --> {one.target}: {one.name}" for one in self.transitions]
        lines += [f"    {state} --> [*]" for state in self.final]
        return "\n".join(["stateDiagram-v2", *lines])

    def transition(self, name: str) -> Transition:
        """The transition with this name. Raises StopIteration for an unknown name."""
        return next(one for one in self.transitions if one.name == name)

    def choices(self) -> list[tuple[str, str]]:
        """The choices of a model's field."""
        return [(state, state.replace("_", " ").lower()) for state in self.states]

    def check(self, name: str) -> models.CheckConstraint:
        """The constraint that limits a column to these states."""
        return models.CheckConstraint(name=name, condition=models.Q(state__in=self.states))

    def guard(self) -> list[pgtrigger.Trigger]:
        """The triggers that refuse other initial states and other transitions."""
        steps = dict.fromkeys((one.source, one.target) for one in self.transitions)
        pair = Statement("({source}, {target})")
        pairs = joined(pair.with_parts(source=literal(source), target=literal(target)) for source, target in steps)
        initial = SQL["wrong_initial_state"].with_parts(states=joined(map(literal, self.initial)))
        return [
            pgtrigger.Trigger(
                name="initial_state",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                condition=pgtrigger.Condition(initial),
                func=self._refusal(literal("nothing")),
            ),
            pgtrigger.Trigger(
                name="allowed_transition",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(SQL["wrong_transition"].with_parts(transitions=pairs)),
                func=self._refusal(Statement("OLD.state")),
            ),
        ]

    def _refusal(self, source: Statement) -> Statement:
        message = literal(f"No transition of {self.name} leads from % to %.")
        return SQL["refuse"].with_parts(message=message, source=source)


ON_SALE, OFF_SALE = "ON_SALE", "OFF_SALE"
PRODUCT = Machine(
    "a product",
    (ON_SALE,),
    (
        Transition("withdraw", ON_SALE, OFF_SALE, "The owner takes it off sale; placed orders are not affected."),
        Transition("offer", OFF_SALE, ON_SALE, "The owner puts it on sale again."),
    ),
)

OPEN, ORDERED = "OPEN", "ORDERED"
BAG = Machine("a bag", (OPEN,), (Transition("order", OPEN, ORDERED, "An order of its contents is placed."),))

PENDING_CONFIRMATION, CONFIRMED, ACCEPTED = "PENDING_CONFIRMATION", "CONFIRMED", "ACCEPTED"
UNPAID = (PENDING_CONFIRMATION, CONFIRMED)  # states that hold stock without payment
NOT_CONFIRMED, CANCELLED, REJECTED = "NOT_CONFIRMED", "CANCELLED", "REJECTED"
ORDER = Machine(
    "an order",
    (PENDING_CONFIRMATION, ACCEPTED),  # orders through the predecessor's route are accepted at once
    (
        Transition("confirm", PENDING_CONFIRMATION, CONFIRMED, "The buyer confirms it with a payment card, in time."),
        Transition(
            "expire", PENDING_CONFIRMATION, NOT_CONFIRMED, "It was not confirmed in time; the stock is released."
        ),
        Transition("cancel", PENDING_CONFIRMATION, CANCELLED, "The buyer cancels it; the stock is released."),
        Transition("accept", CONFIRMED, ACCEPTED, "It is paid."),
        Transition("reject", CONFIRMED, REJECTED, "The payment was declined; the stock is released."),
        Transition("end", CONFIRMED, REJECTED, "Staff end it, and it was not charged; the stock is released."),
    ),
)
MACHINES = (PRODUCT, BAG, ORDER)
PRODUCT_STATES, ORDER_STATES = PRODUCT.choices(), ORDER.choices()  # names of enums in the OpenAPI document
