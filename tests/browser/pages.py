"""What tests ask of every page: that all can use it, in each form in which it is seen."""

from typing import Any

from playwright.sync_api import Page

from tests.acceptance.running import ROOT
from tests.browser.programs import axe

PICTURES = ROOT / ".lockstep" / "screenshots"
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
GRAVE = ("serious", "critical")
# Colours of the admin's links change gradually.
RUN_AXE = """async () => {
    await Promise.all(document.getAnimations().map((animation) => animation.finished));
    return (await axe.run(document, {resultTypes: ["violations"]})).violations;
}"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def assert_accessible(page: Page) -> None:
    """Nothing that axe-core calls serious or critical, in light and in dark."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        if not page.evaluate("typeof axe === 'object'"):
            page.evaluate(axe().read_text(encoding="utf-8") + "; undefined")
        found = [_told(violation) for violation in page.evaluate(RUN_AXE) if violation["impact"] in GRAVE]
        assert not found, f"{page.url}, {scheme}:\n" + "\n".join(found)


def take_pictures(page: Page, name: str) -> None:
    """The page at each width, in light and in dark, in .lockstep/screenshots/. None may be wider than the window."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate(OVERFLOW) == 0, f"{page.url} is wider than {width} px"
    page.set_viewport_size({"width": WIDTHS[0], "height": 800})


def press_until(page: Page, selector: str, *, key: str = "Tab", presses: int = 80) -> None:
    """Moves the focus by the keyboard until it is on this element."""
    for _ in range(presses):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement?.matches(selector) ?? false", selector):
            return
    raise AssertionError(f"{presses} times {key} on {page.url} do not reach {selector}")


def sign_in_to_admin(page: Page, username: str = "admin", password: str = "12345") -> None:
    """Signs in by the admin's form, and stays at its index."""
    page.goto("/admin/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Administration").wait_for()


def _told(violation: dict[str, Any]) -> str:
    nodes = [f"    {node['html'][:200]}\n    {node['failureSummary']}" for node in violation["nodes"][:3]]
    return f"  {violation['impact']}: {violation['id']}, {violation['help']}\n" + "\n".join(nodes)
