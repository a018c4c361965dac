"""`make build`: what installs the installer is pinned, and a long step says that it goes on."""

import io
import re
import sys
from pathlib import Path

import pytest

from devstack.launcher import install
from devstack.launcher.environment import ROOT


def test_the_installer_is_pinned_with_the_hashes_of_the_lock():
    line = install.pinned("uv", ROOT / "uv.lock")
    assert re.fullmatch(r"uv==[\d.]+( --hash=sha256:[0-9a-f]{64}){10,}\n", line)


class Reported(io.StringIO):
    """A terminal that creates a file at the first line, so that what waits for the file ends."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.file.touch()
        return super().write(text)


def test_a_long_step_reports_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install, "REPORT_SECONDS", 0.01)
    monkeypatch.setattr(install, "STARTED", install.STARTED - 100)  # by the commands before this one
    monkeypatch.setattr(sys, "stdout", reported := Reported(tmp_path / "reported"))
    waits = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\nsys.exit(3)"
    assert install.run([sys.executable, "-c", waits, reported.file]) == 3
    assert min(map(int, re.findall(r"still installing, (\d+) s\n", reported.getvalue()))) >= 100


def test_a_long_step_is_quiet_where_no_person_reads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install, "REPORT_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stdout", piped := io.StringIO())
    assert install.run([sys.executable, "-c", "import time; time.sleep(0.2)"]) == 0
    assert piped.getvalue() == ""


@pytest.mark.parametrize(
    ("words", "groups", "options"),
    [
        ([], [], ["--all-extras"]),
        (["bench"], ["bench"], ["--all-extras"]),
        (["--production"], [], [*install.BACKEND]),
        (
            ["--production", "--extra=tracing", "inventory"],
            ["inventory"],
            [*install.BACKEND, "--extra=tracing"],
        ),
    ],
    ids=" ".join,
)
def test_production_has_the_extras_that_are_named_and_else_there_are_all(
    words: list[str], groups: list[str], options: list[str], monkeypatch: pytest.MonkeyPatch
):
    def installed(tools: Path, *arguments: list[str]) -> int:
        assert (tools == install.ENVIRONMENT) == (install.PRODUCTION not in words)
        assert [list(each) for each in arguments] == [groups, options]
        return 7

    monkeypatch.setattr(install, "install", installed)
    assert install.main(words) == 7
