"""States change by the transitions of machines.py only, for every writer."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from backend.shop.conftest import MakeProduct
from backend.shop.models import Bag, Order, OrderTransition, Product
from backend.shop.states import machines
from backend.shop.states.diagrams import as_markdown
from backend.shop.states.machines import MACHINES, Machine
from tests.support import Cast

pytestmark = pytest.mark.django_db

PAIRS = [(machine, a, b) for machine in MACHINES for a in machine.states for b in machine.states if a != b]


def made(machine: Machine, cast: Cast) -> Product | Bag | Order:
    """Something of this machine, in its first state."""
    user = cast.owner.user
    if machine is machines.PRODUCT:
        return Product.objects.create(owner=user, name="n", price=1)
    if machine is machines.BAG:
        return Bag.objects.create(user=user)
    return Order.objects.create(buyer=user, lines=[], total=0)


def path_to(machine: Machine, state: str, seen: tuple[str, ...] = ()) -> list[str] | None:
    """The states on the way from the first one."""
    if state == machine.initial[0]:
        return []
    for one in machine.transitions:
        if one.target == state and one.source not in seen:
            before = path_to(machine, one.source, (*seen, state))
            if before is not None:
                return [*before, state]
    return None


@pytest.mark.parametrize(("machine", "source", "target"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_the_database_takes_declared_transitions_only(cast: Cast, machine: Machine, source: str, target: str):
    thing = made(machine, cast)
    rows = type(thing).objects.filter(pk=thing.pk)
    for state in path_to(machine, source) or []:
        rows.update(state=state)
    assert rows.get().state == source
    declared = any((one.source, one.target) == (source, target) for one in machine.transitions)
    if declared:
        rows.update(state=target)
    else:
        with pytest.raises(IntegrityError, match="No transition"), transaction.atomic():
            rows.update(state=target)
    assert rows.get().state == (target if declared else source)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_objects_begin_in_an_initial_state(cast: Cast, machine: Machine):
    thing = made(machine, cast)
    for state in set(machine.states) - set(machine.initial):
        thing.pk, thing.state = None, state
        thing._state.adding = True
        with pytest.raises(IntegrityError, match="No transition"), transaction.atomic():
            thing.save(force_insert=True)


def test_every_step_of_an_order_is_recorded(cast: Cast):
    order = made(machines.ORDER, cast)
    Order.objects.update(state="CONFIRMED")
    Order.objects.update(total=5)
    Order.objects.update(state="REJECTED", reason="card_declined")
    steps = OrderTransition.objects.filter(order=order.pk).order_by("id").values_list("source", "target", "reason")
    assert list(steps) == [
        ("PENDING_CONFIRMATION", "CONFIRMED", ""),
        ("CONFIRMED", "REJECTED", "card_declined"),
    ]


def test_diagrams_have_the_declared_transitions():
    """What is drawn, and served, is what the database takes; the page of it is the committed one."""
    assert (Path(settings.BASE_DIR) / "docs" / "states.md").read_text() == as_markdown(), "Run `make schema`."
    for machine in MACHINES:
        arrows = set(re.findall(r"(\w+) --> (\w+): (\w+)", machine.diagram))
        assert arrows == {(one.source, one.target, one.name) for one in machine.transitions}
        begins = re.findall(r"\[\*\] --> (\w+)", machine.diagram)
        assert begins == list(machine.initial)


def test_the_states_are_served(cast: Cast):
    served = cast.outsider.get("/api/v1/states/").json()
    assert (served["next"], served["previous"]) == (None, None)
    assert [one["diagram"] for one in served["results"]] == [machine.diagram for machine in MACHINES]


def test_a_product_starts_on_sale(product: MakeProduct):
    assert product().state == machines.ON_SALE
