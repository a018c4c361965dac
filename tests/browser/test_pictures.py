"""docs/tutorial-backend.md, step by step in a browser, and the pictures of the documents, taken on the way.

`make pictures` takes them into docs/pictures/, from a system that has run for some minutes. Otherwise they are taken
into a folder of the test, to see that they still can be.
"""

import os
import re
import shlex
import subprocess
import sys
import time
import zlib
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from backend.entities.stand_ins import StandIn
from tests.acceptance.running import ROOT, Run
from tests.browser.test_home import DELIVERED, WAITS, latest, provider_url

pytestmark = [pytest.mark.browser, pytest.mark.needs("browser")]

TUTORIAL = ROOT / "docs" / "tutorial-backend.md"
PICTURES = ROOT / "docs" / "pictures"
MADE_INTO = os.environ.get("DOCUMENT_PICTURES")
REFERENCE = re.compile(r"pictures/([\w-]+)\.png")
# A button or link in bold, a command, a picture: what a reader does, in the order of the page.
STEP = re.compile(r"\*\*(?P<press>[^*]+)\*\*|^    (?P<command>\S.*)$|pictures/(?P<picture>[\w-]+)\.png", re.MULTILINE)
# What a reader then sees of the latest post, by the name of the button.
SEEN = {
    "Write it": [DELIVERED, WAITS, re.compile("A dead letter since")],
    "Mend it": [DELIVERED, re.compile("A dead letter since")],
}
# Which words a command writes, one set for each time that it is in the page.
WRITTEN = {
    "lockstep status": ["jsonplaceholder-mirror", "jsonplaceholder-mirror"],
    "lockstep audit --no-outside": ["rows = log"],
    "lockstep dead-letters jsonplaceholder-mirror": [""],
}
IN_DARK = ("console",)
PARTS = {"start": "#trial"}
SIZE = {"width": 1120, "height": 760}
MAX_BYTES = 120_000
MIN_ROWS = 90  # that differ: what shows less is as good as blank
LIFE_SECONDS = 150  # a worker writes a sample for the charts each minute


class Reader:
    """Follows the tutorial."""

    def __init__(self, page: Page, system: Run, pictures: Path) -> None:
        self.page, self.system, self.pictures = page, system, pictures
        self.seen = {name: iter(expected) for name, expected in SEEN.items()}
        self.written = {name: iter(expected) for name, expected in WRITTEN.items()}

    def follow(self) -> None:
        self.page.goto("/")
        for step in STEP.finditer(TUTORIAL.read_text(encoding="utf-8")):
            if step["press"]:
                self.press(step["press"])
            elif step["picture"]:
                self.take(step["picture"])
            elif step["command"] != "make run":
                self.run(step["command"])
        assert not [name for name, left in [*self.seen.items(), *self.written.items()] if next(left, None) is not None]

    def press(self, name: str) -> None:
        """Presses the button, or follows the first link of this name, where need be on the start page."""
        target = self.page.get_by_role("button", name=name, exact=True)
        target = target.or_(self.page.locator("#content").get_by_role("link", name=name, exact=True)).first
        if not target.is_visible():
            self.page.goto("/")
        target.click()
        if name in self.seen:
            expect(latest(self.page)).to_contain_text(next(self.seen[name]))

    def run(self, command: str) -> None:
        """In another terminal."""
        _, _, words = command.partition(".venv/bin/python manage.py ")
        written = manage(self.system, words)
        assert next(self.written[words]) in written, written

    def take(self, name: str) -> None:
        """A picture of what the window shows or of a part of the page, and another in dark where documents have it."""
        self.page.evaluate("window.scrollTo(0, 0)")
        shown = self.page.locator(PARTS[name]) if name in PARTS else self.page
        shown.screenshot(path=self.pictures / f"{name}.png")
        if name in IN_DARK:
            self.page.emulate_media(color_scheme="dark")
            shown.screenshot(path=self.pictures / f"{name}-dark.png")
            self.page.emulate_media(color_scheme="light")


def manage(system: Run, words: str) -> str:
    """What a command of manage.py writes about this system."""
    environment = {"PATH": os.environ["PATH"], "LOCKSTEP_HOME": str(system.home)}
    command = [sys.executable, "manage.py", *shlex.split(words)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def let_it_live(system: Run) -> None:
    """Posts are written for some minutes, so that the charts have something to show."""
    headers = {"Authorization": f"Bearer {system.sign_in()}"}
    until = time.monotonic() + LIFE_SECONDS
    with httpx.Client(base_url=system.url, headers=headers, trust_env=False) as client:
        while time.monotonic() < until:
            body = {"title": "A day like this", "body": "In step."}
            client.post("/fakeapi/v1/posts/create/", json=body).raise_for_status()
            time.sleep(1 + time.monotonic() % 4)


def pixel_rows(picture: Path) -> set[bytes]:
    """The different rows of a PNG, as they are packed."""
    data, at, packed = picture.read_bytes(), 8, b""
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        packed += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    rows = zlib.decompress(packed)
    size = len(rows) // height
    assert size > width
    return {rows[start : start + size] for start in range(0, len(rows), size)}


def test_every_step_of_the_tutorial_does_what_it_says(system: Run, page: Page, tmp_path: Path):
    pictures = ROOT / MADE_INTO if MADE_INTO else tmp_path
    pictures.mkdir(parents=True, exist_ok=True)
    StandIn("provider", provider_url(system)).mend()
    manage(system, "lockstep discard jsonplaceholder-mirror --all --reason tests")  # what other tests have left
    page.set_viewport_size(SIZE)
    if MADE_INTO:
        let_it_live(system)
    Reader(page, system, pictures).follow()
    made = {picture.stem for picture in pictures.glob("*.png")}
    assert made >= {picture.stem for picture in PICTURES.glob("*.png")}, "a picture that no step takes any more"
    for picture in pictures.glob("*.png"):
        assert len(pixel_rows(picture)) > MIN_ROWS, f"{picture.name} is blank"


def test_pictures_of_the_documents_are_there_and_small():
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for document in documents for name in REFERENCE.findall(document.read_text(encoding="utf-8"))}
    there = {picture.stem: picture for picture in PICTURES.glob("*.png")}
    assert named == there.keys()
    for picture in there.values():
        assert picture.stat().st_size <= MAX_BYTES, picture.name
        assert len(pixel_rows(picture)) > MIN_ROWS, f"{picture.name} is blank"
