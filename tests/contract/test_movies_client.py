"""The client of the movies' provider equals the one generated from its document: neither edited nor outdated."""

import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.running import ROOT

FOLDER = ROOT / "backend" / "providers" / "november7"


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.py"))}


def test_the_client_equals_the_generated_one(tmp_path: Path):
    programs = Path(sys.executable).parent
    command = [str(programs / "openapi-python-client"), "generate", "--meta", "none"]
    command += ["--path", str(FOLDER / "openapi.yaml"), "--config", str(FOLDER / "generate.yaml")]
    command += ["--output-path", str(tmp_path / "generated")]
    surroundings = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    made = files(tmp_path / "generated")
    assert made
    assert files(FOLDER / "generated") == made, "Run `make movies-client`."
