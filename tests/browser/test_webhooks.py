"""Webhooks, by the pages alone: their owner makes an endpoint, tests it, rotates it; an operator sees it and acts."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from lockstep.webhooks.tests.receiver import Receiver, receiving
from tests.browser.conftest import Observer
from tests.browser.pages import assert_accessible, press_until, sign_in_to_admin, take_pictures

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser")]

SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{40,}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def button(page: Page, words: str) -> None:
    page.get_by_role("button", name=words, exact=True).click()


def link(page: Page, words: str) -> None:
    page.get_by_role("link", name=words, exact=True).click()


def shown_secret(page: Page) -> str:
    expect(page.get_by_text("Store it now: it is not shown again.")).to_be_visible()
    found = SECRET.search(page.locator(".verdict code").inner_text())
    assert found
    return found[0]


def test_an_owner_makes_tests_and_rotates_an_endpoint_and_an_operator_sees_it(
    page: Page, observer: Observer, receiver: Receiver
):
    observer.expect("400")  # the form with its errors
    page.goto("/webhooks/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    take_pictures(page, "sign-in")
    assert_accessible(page)
    sign_in(page, "user", "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    sign_in(page, "user", "1234")

    link(page, "New endpoint…")
    page.get_by_label("URL").fill(f"{receiver.url}/token-in-the-path")
    page.get_by_label("Events").fill("posts.nothing.*")
    button(page, "Preview")
    expect(page.get_by_text("No event type that you may see")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Events").fill("posts.post.*\nposts.comment.*")
    page.get_by_label("Description").fill("The search index")
    button(page, "Preview")
    take_pictures(page, "own-webhook-new")
    assert_accessible(page)
    button(page, "Create an endpoint")
    secret = shown_secret(page)
    assert_accessible(page)
    link(page, "To the endpoint")
    address = page.url

    link(page, "Send a test…")
    button(page, "Send a test")
    attempt = page.locator("details.attempt").first
    expect(attempt).to_contain_text("webhooks.test.created")
    expect(attempt).to_contain_text("status 204")
    [tested] = receiver.requests
    assert tested.verified(secret)["type"] == "webhooks.test.created"

    receiver.answer = lambda request: (422, {"content-type": "text/plain"}, b"Cannot POST /hook/token-in-the-path")
    link(page, "Send a test…")
    button(page, "Send a test")
    failed = page.locator("details.attempt", has_text="answered 422").first
    failed.locator("summary").click()
    expect(failed).to_contain_text("Cannot POST /hook/token-in-the-path")
    expect(failed).to_contain_text("webhook-signature: [redacted]")
    take_pictures(page, "own-webhook")
    assert_accessible(page)
    receiver.answer = lambda request: (204, {}, b"")
    failed.get_by_role("link", name="Send again…").click()
    button(page, "Send a message again")
    expect(page.locator("details.attempt", has_text="status 204")).to_have_count(2)

    link(page, "Rotate the secret…")
    button(page, "Rotate the secret")
    rotated = shown_secret(page)
    take_pictures(page, "own-webhook-secret")
    assert rotated != secret
    page.goto("/webhooks/")
    take_pictures(page, "own-webhooks")
    assert_accessible(page)
    button(page, "Sign out")
    page.goto(address)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    see_and_switch_off(page)


def see_and_switch_off(page: Page) -> None:
    """As an operator, who does not see the path of the URL."""
    sign_in_to_admin(page)
    page.goto("/console/")
    link(page, "Webhooks")
    page.get_by_label("Owner").fill("user")
    button(page, "Filter")
    take_pictures(page, "console-webhooks")
    assert_accessible(page)
    page.locator("th.url a").first.click()
    expect(page.get_by_text("Its path is not shown")).to_be_visible()
    failed = page.locator("details.attempt", has_text="answered 422").first
    failed.locator("summary").click()
    expect(failed).to_contain_text("Cannot POST [redacted]")
    assert "token-in-the-path" not in page.content() and "whsec_" not in page.content()
    take_pictures(page, "console-webhook")
    assert_accessible(page)
    link(page, "Switch off…")
    page.get_by_label("Reason").fill("It answers with errors")
    button(page, "Preview")
    take_pictures(page, "console-webhook-off")
    assert_accessible(page)
    button(page, "Switch off")
    expect(page.get_by_role("region", name="State")).to_contain_text(
        "switched off by an operator: It answers with errors."
    )


def test_endpoints_of_others_do_not_exist_for_a_user(page: Page, observer: Observer, receiver: Receiver):
    observer.expect("404")
    sign_in_to_admin(page)
    page.goto("/webhooks/new/")
    page.get_by_label("URL").fill(receiver.url)
    page.get_by_label("Events").fill("*")
    button(page, "Preview")
    button(page, "Create an endpoint")
    link(page, "To the endpoint")
    of_admin = page.url
    button(page, "Sign out")
    page.goto("/webhooks/")
    sign_in(page, "user", "1234")
    answer = page.goto(of_admin)
    assert answer and answer.status == 404
    expect(page.get_by_text("There is no such endpoint.")).to_be_visible()
    assert_accessible(page)
    page.goto("/webhooks/")
    press_until(page, "a[href='/webhooks/new/']")
