import subprocess
import sys
from pathlib import Path

import pytest

from devstack.launcher import clean, in_use

HOLD = """
import sys
from pathlib import Path
from devstack.launcher import in_use
sys.prefix = sys.argv[1]
with in_use.held("at http://127.0.0.1:8001, on /tmp/other", Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `make clean` is let loose on."""
    monkeypatch.setattr(clean, "ROOT", tmp_path)
    (tmp_path / ".venv").mkdir()
    return tmp_path


def test_nothing_is_removed_under_a_system_with_another_home(clone: Path, capsys):
    venv = clone / ".venv"
    command = [sys.executable, "-c", HOLD, str(venv)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as system:
        assert system.stdout
        assert system.stdout.readline() == "held\n"
        assert clean.main() == 1
        assert venv.exists()
        said = (
            f"in use: process {system.pid}, at http://127.0.0.1:8001, on /tmp/other. End it first; nothing was removed"
        )
        assert said in capsys.readouterr().err
        system.kill()
    assert clean.main() == 0
    assert not venv.exists()


def test_what_ended_by_itself_holds_nothing(clone: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "prefix", str(clone / ".venv"))
    with in_use.held("something", clone / ".venv"):
        assert len(in_use.running(clone / ".venv")) == 1
    assert in_use.running(clone / ".venv") == []


def test_another_environment_is_not_held(clone: Path):
    with in_use.held("something", clone / ".venv"):
        assert not (clone / ".venv" / in_use.FOLDER).exists()


def test_it_says_what_it_removes(clone: Path, capsys):
    assert clean.main() == 0
    assert capsys.readouterr().out == "removed .venv\n"
    assert clean.main() == 0
    assert capsys.readouterr().out == "nothing to remove\n"
