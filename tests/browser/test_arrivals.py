"""The page of a stand-in in a browser, and the admin's pages of OAuth clients."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Observer
from tests.browser.pages import assert_accessible, sign_in_to_admin, take_pictures

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser")]


def test_the_start_page_leads_to_what_arrived_at_the_provider(page: Page, observer: Observer):
    page.goto("/")
    page.get_by_role("button", name="Sign in as user").click()
    page.get_by_label("Title").fill("Seen at the <b>provider</b>")
    page.get_by_label("Body").fill("A body.")
    page.get_by_role("button", name="Write it").click()
    observer.expect("another host: http://127.0.0.1:")  # the stand-in is another server
    page.get_by_role("link", name="provider", exact=True).click()
    expect(page.get_by_role("heading", name="Stand-in: JSONPlaceholder")).to_be_visible()
    # It refreshes by itself until the request has arrived.
    expect(page.get_by_text("Seen at the <b>provider</b>").first).to_be_visible()
    page.get_by_role("link", name="Stop refreshing").click()
    expect(page.get_by_role("link", name="Refresh by itself")).to_be_visible()
    assert_accessible(page)
    take_pictures(page, "stand-in")


def test_staff_see_oauth_clients(page: Page):
    sign_in_to_admin(page)
    page.goto("/admin/oauth2_provider/application/")
    expect(page.get_by_role("link", name="development")).to_be_visible()
    take_pictures(page, "admin-oauth-clients")
    page.get_by_role("link", name="development").click()
    expect(page.get_by_text("lockstep-dev", exact=True)).to_be_visible()
    expect(page.get_by_text("client secret")).to_have_count(0)
    take_pictures(page, "admin-oauth-client")


def test_operators_choose_whose_operations_they_see(page: Page):
    sign_in_to_admin(page)
    page.goto("/console/operations/")
    page.get_by_role("link", name="Owners", exact=True).click()
    expect(page.get_by_text("What owners of webhooks did on their pages")).to_be_visible()
    assert_accessible(page)
    take_pictures(page, "operations")
