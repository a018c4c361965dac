"""`make build`: the virtual environment of uv.lock. Needs nothing but Python, and says that it goes on.

    python -m lockstep.launcher.install [GROUP …]

uv itself comes from pip, in the version and with the hashes that uv.lock names.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

from lockstep.launcher.environment import ROOT

ENVIRONMENT = ROOT / ".venv"
REPORT_SECONDS = 10.0  # between two lines that say that it goes on


def main(groups: Sequence[str]) -> int:
    """The exit code of the first step that failed; 0 when the environment is there."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True, symlinks=True)
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "uv.txt"
        requirement.write_text(pinned("uv", ROOT / "uv.lock"), encoding="utf-8")
        pip: list[str | Path] = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
        ]
        options = [word for group in groups for word in ("--group", group)]
        uv: list[str | Path] = [python, "-m", "uv", "sync", "--quiet", "--frozen", "--python", python, *options]
        for command in ([*pip, "--requirement", requirement], uv):
            if code := run(command):
                return code
    return 0


def pinned(name: str, lock: Path) -> str:
    """A line of a requirements file: the locked version of a package with the hashes of all its files."""
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    [package] = [one for one in packages if one["name"] == name]
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
    return " ".join([f"{name}=={package['version']}", *(f"--hash={file['hash']}" for file in files)]) + "\n"


def run(command: Sequence[str | Path]) -> int:
    """The exit code of the command; while it runs, a line every now and then."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    started, ended = time.monotonic(), threading.Event()

    def report() -> None:
        while not ended.wait(REPORT_SECONDS):
            sys.stdout.write(f"  … still installing, {time.monotonic() - started:.0f} s\n")
            sys.stdout.flush()

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    finally:
        ended.set()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. The same command starts the installation over.\n")
        sys.exit(130)
