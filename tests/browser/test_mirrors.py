"""Mirrors, providers and the audit in the console, as an operator uses them."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from lockstep.http.client import trusted
from tests.acceptance.running import Run
from tests.browser.pages import assert_accessible, press_until, sign_in_to_admin, take_pictures
from tests.browser.test_home import provider_url

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser")]

MIRROR = "/console/mirrors/jsonplaceholder/"


@pytest.fixture
def by_hand(system: Run) -> httpx.Client:
    """Another client of the provider, which changes it behind our back."""
    return httpx.Client(base_url=provider_url(system), verify=trusted())


def until_done(page: Page) -> None:
    """The page of a run shows by itself that it has ended."""
    expect(page.locator("#live .verdict strong").first).to_have_text("Done")


def make_plan(page: Page) -> None:
    page.goto(MIRROR)
    page.get_by_role("link", name="Plan…").click()
    page.get_by_role("button", name="Plan").click()
    until_done(page)


def test_a_plan_is_made_and_applied(page: Page, by_hand: httpx.Client):
    title = by_hand.get("/posts/3").json()["title"]
    by_hand.patch("/posts/3", json={"title": "<b>changed by hand</b>"})
    sign_in_to_admin(page)
    page.goto("/console/mirrors/")
    assert_accessible(page)
    take_pictures(page, "console-mirrors")
    page.get_by_role("link", name="jsonplaceholder", exact=True).click()
    assert_accessible(page)
    take_pictures(page, "console-mirror")
    make_plan(page)
    expect(page.get_by_text("<b>changed by hand</b>")).to_be_visible()
    assert_accessible(page)
    take_pictures(page, "console-plan")
    page.get_by_label("Kind").select_option("delete")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("<b>changed by hand</b>")).to_have_count(0)
    page.get_by_role("link", name="Show all").click()
    page.get_by_role("link", name="Apply…").click()
    assert_accessible(page)
    take_pictures(page, "console-apply")
    page.get_by_role("button", name="Apply").click()
    until_done(page)
    expect(page.get_by_text("Afterwards nothing differs.").first).to_be_visible()
    assert_accessible(page)
    take_pictures(page, "console-applied")
    assert by_hand.get("/posts/3").json()["title"] == title
    make_plan(page)
    expect(page.get_by_text("No drift").first).to_be_visible()


def test_an_audit_is_made_by_the_keyboard_alone(page: Page):
    sign_in_to_admin(page)
    page.goto("/console/audit/")
    press_until(page, "a[href='/console/audit/make/']")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Make an audit").wait_for()
    press_until(page, "input[value='Preview']")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What this will do").wait_for()
    assert_accessible(page)
    take_pictures(page, "console-audit-preview")
    press_until(page, "button.dangerous, .preview button")
    page.keyboard.press("Enter")
    until_done(page)
    expect(page.get_by_role("heading", name="Comparisons")).to_be_visible()
    assert_accessible(page)
    take_pictures(page, "console-audit")


def test_providers_are_shown(page: Page):
    sign_in_to_admin(page)
    page.goto("/console/providers/")
    expect(page.get_by_role("heading", name="jsonplaceholder")).to_be_visible()
    assert_accessible(page)
    take_pictures(page, "console-providers")
