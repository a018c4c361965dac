"""The site of the documents, as `make docs` builds it: whole, and read from a disk without a network."""

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.running import ROOT
from tests.browser.conftest import PATIENCE, Observer
from tests.browser.pages import GRAVE, SCHEMES, take_pictures
from tests.browser.programs import axe

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser"), pytest.mark.needs("mkdocs")]

OPENED = ("index", "tutorial-backend", "how-to/destination", "operations", "reference", "states", "decisions/index")
# Without reading the styles once more, which a page from a disk may not.
RUN_AXE = "async () => (await axe.run(document, {preload: false, resultTypes: ['violations']})).violations"
LOOKED_AT = ("index", "how-to/destination")


class Links(HTMLParser):
    """What a page links to or loads, and the anchors that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.add(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does: every warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # decision 61
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, ""), done.stdout + done.stderr
    return folder


@pytest.fixture
def reader(browser: Browser) -> Iterator[Page]:
    """A page of a browser whose requests to any host fail, and are complaints."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    observer = Observer(context, host="")
    context.route(lambda url: not url.startswith("file:"), lambda route: route.abort())
    yield context.new_page()
    assert not observer.unexpected()
    context.close()


def test_no_link_of_the_site_is_broken_and_nothing_is_loaded_from_elsewhere(site: Path):
    pages = {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(pages) > 80
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            full, anchor = urldefrag(urljoin(page.as_uri(), target))
            if urlsplit(full).scheme in ("http", "https", "mailto"):
                continue  # what a reader may follow; that nothing is loaded from there a browser says below
            file = Path(unquote(urlsplit(full).path))
            if not file.is_file() or (anchor and file in pages and unquote(anchor) not in pages[file].anchors):
                broken.append(f"{page.relative_to(site)}: {target}")
    assert broken == []


@pytest.mark.parametrize("name", OPENED)
def test_a_page_is_read_from_a_disk(site: Path, reader: Page, name: str):
    reader.goto((site / f"{name}.html").as_uri())
    expect(reader.get_by_role("heading", level=1)).to_be_visible()
    for image in reader.locator("article img").all():
        assert image.evaluate("image => image.complete && image.naturalWidth > 100"), image
    if name in LOOKED_AT:
        take_pictures(reader, f"site-{name.replace('/', '-')}")


def test_a_word_is_found_without_a_server(site: Path, reader: Page):
    reader.goto((site / "index.html").as_uri())
    reader.keyboard.press("/")
    reader.keyboard.type("fencing token")
    found = reader.locator(".md-search-result__link[href*='fencing+token']")
    expect(found.first).to_be_visible()
    found.first.click()
    expect(reader.locator("article mark").first).to_be_visible()


@pytest.mark.parametrize("name", ["index", "reference"])
def test_a_page_can_be_used_by_all(site: Path, reader: Page, name: str):
    for scheme in SCHEMES:
        reader.emulate_media(color_scheme=scheme)
        reader.goto((site / f"{name}.html").as_uri())
        reader.evaluate(axe().read_text(encoding="utf-8") + "; undefined")
        found = [violation for violation in reader.evaluate(RUN_AXE) if violation["impact"] in GRAVE]
        assert found == [], scheme
