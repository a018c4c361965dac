"""The units of deploy/systemd: what systemd itself says of them, and that it finds a planted fault."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.images.engine import ROOT
from tests.images.monitoring import replace

pytestmark = pytest.mark.needs("systemd")

UNITS = {
    "lockstep-prepare.service": "lockstep-prepare.service",
    "lockstep-web@.service": "lockstep-web@8001.service",
    "lockstep-worker@.service": "lockstep-worker@9001.service",
}
MAX_EXPOSURE = 36  # tenths, of 100: 0 is a unit that can do nothing, 96 one without any restriction


def unit(folder: Path, name: str) -> Path:
    """A copy whose program and folder are there."""
    copy = folder / UNITS[name]
    shutil.copy(ROOT / "deploy" / "systemd" / name, copy)
    replace(copy, "/opt/lockstep/.venv/bin/python", str(shutil.which("python3")))
    replace(copy, "WorkingDirectory=/opt/lockstep", "WorkingDirectory=/")
    return copy


def said(*words: str | Path) -> tuple[int, str]:
    done = subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", UNITS)
def test_it_is_right_and_a_fault_is_found(tmp_path: Path, name: str):
    file = unit(tmp_path, name)
    assert said("verify", "--recursive-errors=no", "--man=no", file) == (0, "")
    replace(file, "ProtectHome=yes", "ProtectHome=perhaps")
    assert "perhaps" in said("verify", "--recursive-errors=no", "--man=no", file)[1]


@pytest.mark.parametrize("name", UNITS)
def test_it_may_do_no_more_than_it_must(tmp_path: Path, name: str):
    file = unit(tmp_path, name)
    words = ("security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", "--no-pager")
    assert said(*words, file)[0] == 0
    replace(file, "CapabilityBoundingSet=", "AmbientCapabilities=")
    assert said(*words, file)[0] != 0
