"""The Makefile's rules, with programs that only write down how they were called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devstack.launcher.environment import ROOT

PROGRAM = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\nexit "$CODE"\n'
LINTERS = [
    "-m ruff check",
    "-m ruff format --check",
    "-m mypy",
    "lint-imports",
    "-m devstack.words",
    "-m uv lock --check",
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in which everything is installed."""
    for name in ("Makefile", "uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "lint-imports"):
        (programs / name).write_text(PROGRAM)
        (programs / name).chmod(0o755)
    (tmp_path / ".venv" / ".built").touch()
    return tmp_path


def make(clone: Path, *words: str, code: int = 0) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What make answered, and the calls that it made."""
    calls = clone / "calls"
    environment = {"PATH": os.environ["PATH"], "CALLS": str(calls), "CODE": str(code)}
    command = ["make", "--no-print-directory", *words, "PYTHON=.venv/bin/python"]
    result = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    return result, calls.read_text().splitlines() if calls.exists() else []


def test_lint_runs_every_tool_and_fails_at_the_end(clone: Path):
    result, calls = make(clone, "lint", code=1)
    assert result.returncode == 2
    assert len(calls) == len(LINTERS)
    for call, linter in zip(calls, LINTERS, strict=True):
        assert linter in call
        assert linter in result.stderr


def test_lint_succeeds_where_every_tool_does(clone: Path):
    result, calls = make(clone, "lint")
    assert (result.returncode, len(calls)) == (0, len(LINTERS))


@pytest.mark.parametrize(("edited", "installs"), [("pyproject.toml", False), ("uv.lock", True)])
def test_only_another_lock_file_installs_again(clone: Path, edited: str, installs: bool):
    now = (clone / ".venv" / ".built").stat().st_mtime
    for name in ("uv.lock", "pyproject.toml"):
        os.utime(clone / name, (now - 10, now - 10))
    os.utime(clone / edited, (now + 10, now + 10))
    _, calls = make(clone, "build")
    assert any("devstack.launcher.install" in call for call in calls) == installs
