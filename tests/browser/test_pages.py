"""Pages that were there before: the admin, and Swagger UI."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.running import Run
from tests.browser.conftest import Observer
from tests.browser.pages import assert_accessible, press_until, sign_in_to_admin, take_pictures

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser")]


def test_admin_lists_posts_for_staff(page: Page):
    sign_in_to_admin(page)
    assert_accessible(page)
    page.locator("#content-main a[href='/admin/posts/post/']").first.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(50)
    take_pictures(page, "admin-posts")


def test_a_list_shows_how_far_comments_have_come(page: Page):
    sign_in_to_admin(page)
    page.goto("/admin/posts/comment/")
    state = page.locator("#result_list tbody .field-sync_state").first
    expect(state).to_contain_text("Acknowledged")
    box, window = state.bounding_box(), page.viewport_size
    assert box and window and box["x"] + box["width"] <= window["width"]


def test_admin_is_used_by_the_keyboard_alone(page: Page):
    page.goto("/admin/")
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type("12345")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Administration").wait_for()
    press_until(page, "a[href='/admin/posts/post/']")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Select post to change").wait_for()


def test_swagger_ui_sends_a_request(page: Page):
    page.goto("/api/schema/swagger-ui/")
    page.locator(".opblock-tag[data-tag=operations]").click()
    page.locator(".opblock-summary-control", has_text="/healthz/").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table tbody .response-col_status").first).to_have_text(re.compile("^200"))


def test_swagger_ui_proposes_no_value_of_an_optional_header(page: Page):
    page.goto("/api/schema/swagger-ui/")
    page.locator(".opblock-tag[data-tag=posts]").click()
    operation = page.locator("#operations-posts-create_post")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    for name in ("Idempotency-Key", "X-Request-ID"):
        expect(operation.locator(f"tr[data-param-name='{name}'] input")).to_have_value("")
    expect(operation.locator("textarea")).to_have_value(re.compile('"title": "Hello"'))


def test_swagger_ui_shows_deprecated_operations_and_messages_to_webhooks(page: Page):
    page.goto("/api/schema/swagger-ui/")
    page.locator(".opblock-tag[data-tag=defects]").click()
    expect(page.locator("#operations-defects-list_defects.opblock-deprecated")).to_have_count(0)
    expect(page.locator("#operations-defects-list_defects_alias.opblock-deprecated")).to_be_visible()
    expect(page.locator(".webhooks").get_by_text("posts.post.created")).to_be_visible()


def test_an_unknown_address_is_a_page_in_a_browser(page: Page, observer: Observer):
    observer.expect("404")
    answer = page.goto("/no/such/page/")
    assert answer and answer.status == 404
    expect(page.get_by_role("heading")).to_have_text("404 Not found")
    assert_accessible(page)
    take_pictures(page, "not-found")
    page.get_by_role("link", name="All problem types").click()
    expect(page.get_by_role("heading", name="Problem types")).to_be_visible()
    assert_accessible(page)
    take_pictures(page, "problem-types")
    page.get_by_role("link", name="Insufficient stock").click()
    expect(page.get_by_text("/problems/insufficient-stock")).to_be_visible()
    take_pictures(page, "problem-type")


def test_api_clients_get_the_same_problems_as_json(system: Run, page: Page):
    answer = page.request.get("/no/such/page/")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert page.request.get("/problems/not-found/").json()["title"] == "Not found"
