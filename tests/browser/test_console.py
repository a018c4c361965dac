"""The console, driven by mouse and by keyboard: each page, each operation, against a running system."""

import gzip
import re
from collections.abc import Iterator
from typing import Any, cast

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from backend.entities.stand_ins import StandIn
from tests.acceptance.running import Run
from tests.browser.pages import assert_accessible, press_until, sign_in_to_admin, take_pictures
from tests.browser.test_home import provider_url
from tests.support import eventually

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser")]

MIRROR = "jsonplaceholder-mirror"
SUBSCRIPTION = f"/console/subscriptions/{MIRROR}/"
LETTERS = f"/console/dead-letters/?subscription={MIRROR}"
REFUSES = {"status": 422, "methods": ["POST", "PUT", "PATCH", "DELETE"]}
BUSY = {"status": 503}
MAX_ASSETS = 300_000  # bytes, compressed, of one page
PAGES = {
    "overview": "/console/",
    "subscriptions": "/console/subscriptions/",
    "family": "/console/subscriptions/?family=webhook",
    "subscription": SUBSCRIPTION,
    "pause": f"{SUBSCRIPTION}pause/?reason=for+now",
    "resume": f"{SUBSCRIPTION}resume/",
    "rewind": f"{SUBSCRIPTION}rewind/?everything=on",
    "letters": LETTERS,
    "letter": "/console/dead-letters/{letter}/",
    "replay": f"/console/dead-letters/replay/?subscription={MIRROR}",
    "discard": f"/console/dead-letters/discard/?subscription={MIRROR}&reason=not+wanted",
    "changes": "/console/changes/",
    "object": "/console/objects/posts.post/{post}/",
    "history": "/admin/posts/post/{post}/history/",
    "workers": "/console/workers/",
    "operations": "/console/operations/",
    "not-found": "/console/subscriptions/there-is-none/",
}


@pytest.fixture(scope="module")
def cookies(browser: Browser, system: Run) -> list[Any]:
    """The session of an operator, who signs in once."""
    context = browser.new_context(base_url=system.url)
    sign_in_to_admin(context.new_page())
    found = context.cookies()
    context.close()
    return cast(list[Any], found)


@pytest.fixture(autouse=True)
def signed_in(context: BrowserContext, cookies: list[Any]) -> None:
    context.add_cookies(cookies)


@pytest.fixture(scope="module")
def provider(system: Run) -> Iterator[StandIn]:
    stand_in = StandIn("provider", provider_url(system))
    stand_in.mend()
    yield stand_in
    stand_in.mend()


@pytest.fixture(scope="module")
def author(system: Run) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=system.url, trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {system.sign_in()}"
        yield client


def write(author: httpx.Client, title: str) -> None:
    response = author.post("/fakeapi/v1/posts/create/", json={"title": title, "body": "In step."})
    assert response.status_code == 201, response.text


def letter_of(system: Run, title: str) -> tuple[str, str]:
    """The open dead letter of the post with this title, and the post: their keys, once there is a letter."""
    statement = (
        "SELECT letter.id::text, post.id::text FROM lockstep_deadletter letter"
        " JOIN posts_post post ON post.id::text = letter.object_id WHERE post.title = %s AND outcome IS NULL"
    )
    with psycopg.connect(system.database_url, autocommit=True) as database:
        [found] = eventually(lambda: database.execute(statement, [title]).fetchall(), "a dead letter")
    return cast(tuple[str, str], found)


@pytest.fixture(scope="module")
def refused(system: Run, provider: StandIn, author: httpx.Client) -> dict[str, str]:
    """A post that the provider refused: its dead letter stays open."""
    provider.set_fault(REFUSES)
    write(author, "Refused for all pages")
    letter, post = letter_of(system, "Refused for all pages")
    provider.mend()
    return {"letter": letter, "post": post}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_accessible_small_and_quiet(name: str, page: Page, observer: Any, refused: dict[str, str]):
    """Without errors on the browser's console, and nothing from another host: `page` sees to that."""
    if name == "not-found":
        observer.expect("404")
    assets: dict[str, int] = {}

    def note(response: Response) -> None:
        if "/static/" in response.url:
            assets[response.url] = len(gzip.compress(response.body()))

    page.on("response", note)
    answer = page.goto(PAGES[name].format(**refused), wait_until="networkidle")
    assert answer and answer.status == (404 if name == "not-found" else 200)
    assert assets and sum(assets.values()) <= MAX_ASSETS, assets
    assert_accessible(page)
    take_pictures(page, f"console-{name}")


def test_a_provider_fails_and_its_letter_is_replayed(
    page: Page, system: Run, provider: StandIn, author: httpx.Client, refused: dict[str, str]
):
    provider.set_fault(BUSY)
    write(author, "Busy")
    page.goto(SUBSCRIPTION)
    failing = page.get_by_role("region", name="Failing objects")
    expect(failing.get_by_role("row", name=re.compile("503"))).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("Not in step.")).to_be_visible()
    provider.set_fault(REFUSES)
    write(author, "Refused, and replayed")
    letter, post = letter_of(system, "Refused, and replayed")
    page.goto(LETTERS)
    page.locator(f"a[href='/console/dead-letters/{letter}/']").click()
    expect(page.get_by_text("422").first).to_be_visible()
    provider.mend()
    page.get_by_role("link", name="Replay…").click()
    expect(page.get_by_text("1 change of 1 object will be sent again")).to_be_visible()
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text("Replaying 1 change of 1 object.")).to_be_visible()
    expect(page.get_by_text("1 letter of one replay")).to_be_visible()
    page.locator(f"a[href='/console/objects/posts.post/{post}/']").click()
    expect(page.get_by_text("Done, after its dead letter was replayed.")).to_be_visible()
    expect(page.get_by_text("in step", exact=True)).to_be_visible()
    page.get_by_role("link", name="Operations").click()
    row = page.get_by_role("row").filter(has_text="replay").first
    expect(row).to_contain_text("admin")


def test_letters_are_chosen_and_discarded(page: Page, system: Run, provider: StandIn, author: httpx.Client):
    provider.set_fault(REFUSES)
    write(author, "Refused, and discarded")
    letter, _ = letter_of(system, "Refused, and discarded")
    provider.mend()
    page.goto(LETTERS)
    page.locator(f"input[name=letters][value='{letter}']").check()
    page.get_by_role("button", name="Discard the chosen…").click()
    page.get_by_label("Reason").fill("not wanted")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("1 letter of 1 object will be discarded")).to_be_visible()
    page.get_by_role("button", name="Discard", exact=True).click()
    expect(page.get_by_text("1 letter discarded.")).to_be_visible()
    page.goto(f"/console/dead-letters/{letter}/")
    expect(page.get_by_text(re.compile("Discarded at .*: not wanted"))).to_be_visible()


def test_operations_on_a_subscription_by_the_keyboard_alone(page: Page):
    page.goto(f"{SUBSCRIPTION}?live=off")
    follow(page, f"a[href='{SUBSCRIPTION}pause/']")
    press_until(page, "input[name=reason]")
    page.keyboard.type("maintenance")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The reason will be: maintenance")).to_be_visible()
    follow(page, ".preview button")
    expect(page.get_by_text(f"Paused {MIRROR}: maintenance")).to_be_visible()

    follow(page, f"a[href='{SUBSCRIPTION}resume/']")
    follow(page, ".preview button")
    expect(page.locator(".messagelist")).to_contain_text(MIRROR)

    follow(page, f"a[href='{SUBSCRIPTION}rewind/']")
    press_until(page, "input[name=everything]")
    page.keyboard.press("Space")
    follow(page, "input[type=submit][value=Preview]")
    expect(page.get_by_text(re.compile("will be sent again"))).to_be_visible()
    follow(page, ".preview button")
    expect(page.get_by_text(f"Rewound {MIRROR}")).to_be_visible()
    page.goto("/console/operations/")
    for kind in ("pause", "resume", "rewind"):
        expect(page.get_by_role("rowheader", name=kind).first).to_be_visible()


def follow(page: Page, selector: str) -> None:
    """Moves the focus there by the keyboard, and presses Enter."""
    press_until(page, selector)
    with page.expect_navigation():
        page.keyboard.press("Enter")
