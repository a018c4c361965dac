"""One running system and one browser for all tests of pages.

A test that takes `page` also fails where the page reports an error on its console, throws one, or requests anything of
another host.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    WebError,
    expect,
    sync_playwright,
)

from tests.acceptance.running import Run, free_port
from tests.browser.programs import chromium
from tests.conftest import copied
from tests.support import WAIT_TIMEOUT

# Chromium as it comes with Debian: root has no sandbox, and nothing of its own may leave the machine.
ARGUMENTS = [
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]
PATIENCE = WAIT_TIMEOUT * 1_000  # milliseconds that end a test which hangs; a quiet machine needs a fraction
LOCAL = ("data", "blob", "about")
expect.set_options(timeout=PATIENCE)


class Observer:
    """What the pages of a browser context did wrong."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        self.complaints: list[str] = []
        self._expected: list[str] = []
        self._host = host
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)

    def expect(self, words: str) -> None:
        """A complaint with these words is part of the test."""
        self._expected.append(words)

    def unexpected(self) -> list[str]:
        """The complaints that no test has asked for."""
        return [one for one in self.complaints if not any(words in one for words in self._expected)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text} ({message.location.get('url')})")

    def _on_error(self, error: WebError) -> None:
        self.complaints.append(f"script: {error.error}")

    def _on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in LOCAL and url.netloc != self._host:
            self.complaints.append(f"another host: {request.url}")


@pytest.fixture(scope="package")
def system(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A start takes seconds: one for all tests of this folder that a process runs."""
    folder = tmp_path_factory.mktemp("browsed")
    folder.chmod(0o755)  # PostgreSQL's account passes through when we are root
    # The receivers of webhooks are on this machine.
    run = Run(copied(first_home, folder / "home"), free_port(), WEBHOOK_ALLOW_NETWORKS="127.0.0.0/8")
    try:
        run.until_ready()
        yield run
    finally:
        run.end()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with the last test here: while it lives its event loop is that of the thread, in which Django refuses to
    work.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, system: Run) -> Iterator[BrowserContext]:
    """A browser without cookies, whose first address is the system's."""
    context = browser.new_context(
        base_url=system.url, viewport={"width": 1280, "height": 800}, locale="en-GB", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def observer(context: BrowserContext, system: Run) -> Observer:
    """Lets a test expect a complaint."""
    return Observer(context, urlsplit(system.url).netloc)


@pytest.fixture
def page(context: BrowserContext, observer: Observer) -> Iterator[Page]:
    """An empty page."""
    yield context.new_page()
    assert not observer.unexpected()
