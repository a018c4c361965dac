"""The pages of orders in the admin: where an order is, its lines and its payment, and ending it with a preview."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backend.accounts.models import User
from backend.shop.conftest import MakeProduct
from backend.shop.models import Movement, Order, Payment
from backend.shop.orders.actions import Line, place_order
from backend.shop.payments.actions import PAYMENTS, confirm_order
from backend.shop.states import machines
from backend.shop.states.diagrams import drawing
from lockstep.delivery.models import DeadLetter, Lane, Subscription
from tests.admin_pages import admin_of
from tests.support import Cast

pytestmark = pytest.mark.django_db

LIST = "/admin/shop/order/"
ATTACK = "<script>alert(1)</script>"


@pytest.fixture
def order(cast: Cast, product: MakeProduct) -> Order:
    """A confirmed order of two products by the owner."""
    lines = [Line(product(ATTACK).pk, 2), Line(product("lamp", price="10.00").pk, 1)]
    actor = f"user:{cast.owner.user.pk}"
    order = Order.objects.get(number=place_order(actor=actor, buyer=cast.owner.user, lines=lines).number)
    confirm_order(actor=actor, order=order, token="tok_1")
    order.refresh_from_db()
    return order


@pytest.fixture
def admin(cast: Cast) -> Client:
    return admin_of(cast.staff.user)


def page_of(admin: Client, order: Order) -> str:
    answer = admin.get(f"{LIST}{order.pk}/change/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_page_shows_where_the_order_is_its_lines_and_who_did_what(admin: Client, cast: Cast, order: Order):
    page = page_of(admin, order)
    assert "It is CONFIRMED, and was PENDING_CONFIRMATION." in page
    assert re.search(r'<g class="box current"><rect[^>]*/><text[^>]*>CONFIRMED</text>', page)
    assert re.search(r'<g class="arrow taken">.*?>confirm</text>', page)
    assert page.count("<tfoot>") == 1 and "15.00" in page and "5.00" in page and "lamp" in page
    assert f'href="/admin/accounts/user/{cast.owner.user.pk}/change/">owner</a>' in page
    assert f"user:{cast.owner.user.pk}" not in page and "{&#x27;product" not in page
    assert ATTACK not in page and "&lt;script&gt;" in page
    assert "15.00 by card, since" in page and "Not decided yet: a worker is about to." in page


def test_the_page_says_why_a_payment_is_not_decided(admin: Client, order: Order):
    Subscription.objects.get_or_create(name=PAYMENTS, defaults={"kind": "event", "follows": ["shop.order.*"]})
    own = {"subscription_id": PAYMENTS, "model": "shop.order", "object_id": str(order.pk)}
    lane = Lane.objects.create(**own, failure="failed", cause=f"answered 500 {ATTACK}")
    assert "The last attempt failed: answered 500 &lt;script&gt;" in page_of(admin, order)
    lane.delete()
    DeadLetter.objects.create(
        **own, seq=1, at=timezone.now(), message_id=order.pk, attempts=8, cause="the gateway refuses the token"
    )
    assert "a dead letter says: the gateway refuses the token" in page_of(admin, order)


def chosen(*orders: Order, action: str = "end_orders", **values: str) -> dict[str, Any]:
    return {"action": action, "_selected_action": [str(order.pk) for order in orders], **values}


def test_ending_an_order_says_first_what_it_will_do(admin: Client, order: Order):
    assert "End: the payment cannot be decided…" in page_of(admin, order)
    preview = admin.post(LIST, chosen(order)).content.decode()
    assert "A worker looks its charge up at the gateway" in preview and 'name="confirmed"' in preview
    assert Payment.objects.get().ending is None
    done = admin.post(LIST, chosen(order, confirmed="yes"))
    assert (done.status_code, done["Location"]) == (302, f"{LIST}{order.pk}/change/")
    assert Payment.objects.get().ending is not None
    assert "Staff end it since" in page_of(admin, order)
    early = admin.post(LIST, chosen(order, action="end_orders_unanswered")).content.decode()
    assert "at least 60 s before" in early and 'name="confirmed"' not in early
    Payment.objects.update(ending="2026-01-01T00:00Z")
    late = admin.post(LIST, chosen(order, action="end_orders_unanswered")).content.decode()
    assert "it must be refunded" in late and 'name="confirmed"' in late
    assert "already" in admin.post(LIST, chosen(order)).content.decode()


def test_an_order_that_cannot_be_ended_is_not_offered(admin: Client, cast: Cast, product: MakeProduct, order: Order):
    number = place_order(actor="", buyer=cast.owner.user, lines=[Line(product("other").pk, 1)]).number
    pending = Order.objects.get(number=number)
    assert "End:" not in page_of(admin, pending)
    both = admin.post(LIST, chosen(order, pending)).content.decode()
    assert "only a confirmed order can be ended" in both
    assert both.count('name="_selected_action"') == 1
    assert "There is no payment" in page_of(admin, pending)


def test_who_may_only_view_orders_ends_none(cast: Cast, order: Order):
    clerk = User.objects.create_user("clerk", password="x", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename="view_order"))
    assert "End:" not in page_of(admin_of(clerk), order)
    admin_of(clerk).post(LIST, chosen(order, confirmed="yes"))
    assert Payment.objects.get().ending is None


def test_the_ledger_names_its_actors_in_one_query(admin: Client, cast: Cast, product: MakeProduct, order: Order):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page = admin.get("/admin/shop/movement/").content.decode()
        assert ">owner</a>" in page
        return len(captured)

    few = queries()
    for number in range(5):
        place_order(
            actor=f"user:{cast.colleague.user.pk}",
            buyer=cast.colleague.user,
            lines=[Line(product(f"more {number}").pk, 1)],
        )
    assert queries() == few


def test_a_drawing_has_every_state_once_and_the_way_of_the_object():
    drawn = drawing(machines.ORDER, [machines.PENDING_CONFIRMATION, machines.CONFIRMED, machines.REJECTED])
    assert sorted(box.name for box in drawn.boxes) == sorted(machines.ORDER.states)
    assert len({(box.x, box.y) for box in drawn.boxes}) == len(drawn.boxes)
    assert [arrow.label for arrow in drawn.arrows if arrow.mark] == ["confirm", "reject, end"]
    assert [(box.name, box.mark) for box in drawn.boxes if box.mark] == [
        ("PENDING_CONFIRMATION", "visited"),
        ("CONFIRMED", "visited"),
        ("REJECTED", "current"),
    ]
    assert [box.mark for box in drawing(machines.ORDER, [machines.ACCEPTED]).boxes if box.mark] == ["current"]


def test_the_page_of_a_movement_names_its_actor(admin: Client, order: Order):
    movement = Movement.objects.filter(order=order).first()
    assert movement
    page = admin.get(f"/admin/shop/movement/{movement.pk}/change/").content.decode()
    assert ">owner</a>" in page and str(movement.actor) not in page
