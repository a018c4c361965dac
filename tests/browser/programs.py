"""What the tests of pages need beside Python: a Chromium of the system, and axe-core, which checks accessibility."""

import shutil
from pathlib import Path

from tests.contract.providers import node_modules

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The program, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def axe() -> Path:
    """The script of axe-core."""
    return node_modules() / "axe-core" / "axe.min.js"
