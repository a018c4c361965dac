"""An order in the admin: where it is, its lines and payment, and ending it with a preview."""

from collections.abc import Iterator

import pytest
from dotenv import dotenv_values
from playwright.sync_api import APIRequestContext, Page, expect

from backend.entities.stand_ins import StandIn
from devstack.sandbox.payments.card_behaviours import LOSES_THE_REQUEST
from tests.acceptance.running import Run
from tests.browser.pages import assert_accessible, sign_in_to_admin, take_pictures

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser")]


@pytest.fixture
def gateway(system: Run) -> Iterator[StandIn]:
    """The gateway, which works again after the test."""
    url = dotenv_values(system.home / "environment")["PAYMENTS_URL"]
    assert url
    gateway = StandIn("payments", url)
    yield gateway
    gateway.mend()


def confirmed_order(api: APIRequestContext, url: str) -> int:
    """The number of a user's order whose charge is not answered for 30 seconds."""

    def send(path: str, body: dict[str, object]) -> dict[str, object]:
        answer = api.post(f"{url}{path}", data=body, headers=headers)
        assert answer.ok, answer.text()
        found: dict[str, object] = answer.json()
        return found

    headers: dict[str, str] = {}
    pair = send("/api/v1/auth/token/", {"username": "user", "password": "1234"})
    headers["authorization"] = f"Bearer {pair['access']}"
    products = [
        send("/api/v1/products/", {"name": name, "price": price, "stock": 9})["id"]
        for name, price in (("Red bicycle", "249.90"), ("Lamp", "12.50"))
    ]
    lines = [{"product": key, "quantity": number} for number, key in enumerate(products, 1)]
    number = send("/api/v1/orders/", {"lines": lines})["number"]
    card = {"card_number": LOSES_THE_REQUEST, "expiry": "12/40", "cvc": "123"}
    send(f"/api/v1/orders/{number}/confirm/", {"payment": card})
    return int(str(number))


def test_staff_see_where_an_order_is_and_end_it(system: Run, page: Page, gateway: StandIn):
    number = confirmed_order(page.request, system.url)
    gateway.set_fault({"down": True})
    sign_in_to_admin(page)
    page.goto(f"/admin/shop/order/?q={number}")
    page.locator("#result_list tbody th a").first.click()
    expect(page.get_by_role("img", name="It is CONFIRMED, and was PENDING_CONFIRMATION.")).to_be_visible()
    expect(page.locator(".order-lines tbody tr")).to_have_count(2)
    take_pictures(page, "order")
    assert_accessible(page)
    page.get_by_role("button", name="End: the payment cannot be decided…").click()
    expect(page.get_by_text("A worker looks its charge up at the gateway")).to_be_visible()
    take_pictures(page, "order-end")
    assert_accessible(page)
    page.get_by_role("button", name="End: the payment cannot be decided").click()
    expect(page.locator(".messagelist")).to_contain_text("a worker looks its charge up")
    page.goto("/admin/posts/post/")
    expect(page.get_by_role("columnheader", name="At the provider")).to_be_visible()
    take_pictures(page, "admin-posts")
