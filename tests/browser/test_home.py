"""The start page, and the first three minutes of a newcomer."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from backend.entities.stand_ins import StandIn
from tests.acceptance.running import Run
from tests.browser.pages import assert_accessible, press_until, take_pictures

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser")]

DELIVERED = re.compile("Delivered as post")
WAITS = re.compile("It is tried every 5 seconds")


@pytest.fixture(autouse=True)
def mended_provider(system: Run) -> Iterator[None]:
    """The provider works before and after each test."""
    stand_in = StandIn("provider", provider_url(system))
    stand_in.mend()
    yield
    stand_in.mend()


def provider_url(system: Run) -> str:
    line = next(line for line in (system.home / "environment").read_text().splitlines() if "POSTS_PROVIDER_URL" in line)
    return line.partition("=")[2].strip("'\"")


def latest(page: Page) -> Locator:
    """The newest post of step 4."""
    return page.locator("#live > ol > li").first


def sign_in(page: Page, name: str) -> None:
    page.goto("/")
    page.get_by_role("button", name=f"Sign in as {name}").click()
    expect(page.locator("#user-tools")).to_contain_text(name)


def write(page: Page, title: str) -> None:
    page.get_by_label("Title").fill(title)
    page.get_by_role("button", name="Write it").click()
    expect(latest(page).get_by_role("heading")).to_contain_text(title)


def test_the_first_address_of_the_launcher_is_the_start_page(system: Run, page: Page):
    first = next(line for line in system.output.splitlines() if "Start page" in line)
    page.goto(re.search(r"http\S+", first).group())
    expect(page.get_by_text("Yes: all its parts work.")).to_be_visible()
    expect(page.get_by_role("button", name="Write it")).to_be_disabled()
    assert_accessible(page)
    take_pictures(page, "home-stranger")


def test_a_newcomer_breaks_the_provider_and_mends_it(page: Page):
    """Criterion 5, with nothing but the page: write, break, see it wait, mend, see it arrive. Without a reload."""
    sign_in(page, "user")
    write(page, "Before the outage")
    expect(latest(page)).to_contain_text(DELIVERED)
    expect(latest(page).locator("code")).to_contain_text('"title":"Before the outage"')

    page.get_by_role("button", name="Take it down").click()
    expect(page.get_by_text("The provider is broken.", exact=False).first).to_be_visible()
    write(page, "During the outage")
    expect(latest(page)).to_contain_text(WAITS)
    expect(latest(page)).to_contain_text("Nothing yet.")
    assert_accessible(page)
    take_pictures(page, "home-outage")

    page.get_by_role("button", name="Mend it").click()
    expect(latest(page)).to_contain_text(DELIVERED)
    expect(latest(page).locator("code")).to_contain_text('"title":"During the outage"')
    take_pictures(page, "home-arrived")


def test_a_refused_change_is_a_dead_letter_that_an_operator_replays(page: Page):
    sign_in(page, "user")
    page.get_by_role("button", name="Let it refuse writes").click()
    write(page, "Refused")
    expect(latest(page)).to_contain_text("A dead letter since")
    expect(latest(page)).to_contain_text("sign in as admin")

    page.get_by_role("button", name="Sign in as admin").click()
    expect(latest(page).get_by_role("link", name="Replay it")).to_be_visible()
    assert_accessible(page)
    take_pictures(page, "home-dead-letter")
    page.get_by_role("button", name="Mend it").click()
    latest(page).get_by_role("link", name="Replay it").click()
    expect(page.get_by_text("1 change of 1 object will be sent again")).to_be_visible()
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text("Replaying 1 change of 1 object.")).to_be_visible()
    page.goto("/")
    expect(latest(page)).to_contain_text(DELIVERED)


def test_the_page_is_used_by_the_keyboard_alone(page: Page):
    page.goto("/")
    press_until(page, "button[name=account][value=admin]")
    page.keyboard.press("Enter")
    expect(page.locator("#user-tools")).to_contain_text("admin")
    press_until(page, "input[name=title]")
    page.keyboard.press("Control+a")
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    expect(latest(page).get_by_role("heading")).to_contain_text("By keyboard")
    press_until(page, "button[value=down]")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Mend it")).to_be_visible()


def test_the_page_works_without_scripts(context: BrowserContext, system: Run):
    quiet = context.browser.new_context(base_url=system.url, java_script_enabled=False)
    page = quiet.new_page()
    sign_in(page, "user")
    write(page, "Without scripts")
    expect(page.get_by_role("status")).to_contain_text("is written")
    quiet.close()


def test_the_state_is_called_outdated_without_a_server(page: Page, observer):
    observer.expect("ERR_FAILED")
    observer.expect("htmx")
    page.goto("/")
    page.route("**/*", lambda route: route.abort())
    expect(page.get_by_text("The server does not answer.")).to_be_visible()
