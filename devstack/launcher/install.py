"""`make build`: the virtual environment of uv.lock. Needs nothing but Python, and says that it goes on.

    python -m devstack.launcher.install [--production] [--extra=NAME …] [GROUP …]

With `--production` only what web server, workers and commands need: no PostgreSQL, no tests, no linters, and of the
extras those that are named. Else all of them: the tests need them.
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

from devstack.launcher.environment import ROOT

ENVIRONMENT = ROOT / ".venv"
PRODUCTION = "--production"
EXTRAS = ("feed", "metrics", "mirror", "rest", "webhooks")  # of the engine, which the backend uses
BACKEND = ("--no-default-groups", "--group=backend", *(f"--extra={name}" for name in EXTRAS))
REPORT_SECONDS = 10.0  # between two lines of progress
STARTED = time.monotonic()


def main(words: Sequence[str]) -> int:
    """The exit code of the first step that failed; 0 when the environment is there."""
    options = [word for word in words if word.startswith("--")]
    groups = [word for word in words if word not in options]
    if PRODUCTION not in options:
        return install(ENVIRONMENT, groups, ["--all-extras"])
    options = [*BACKEND, *(word for word in options if word != PRODUCTION)]
    with tempfile.TemporaryDirectory() as folder:  # where uv is, which stays in no environment of production
        return install(Path(folder), groups, options)


def install(tools: Path, groups: Sequence[str], options: Sequence[str]) -> int:
    """Makes the environment with the uv of another one, or of its own. Returns the exit code of what failed, or 0."""
    if not (ENVIRONMENT / "bin" / "python").exists():
        venv.create(ENVIRONMENT, symlinks=True)
    if not (tools / "bin" / "pip").exists():  # in an environment of production there is none
        venv.create(tools, with_pip=True, symlinks=True)
    python = ENVIRONMENT / "bin" / "python"
    wanted = [word for group in groups for word in ("--group", group)]
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "uv.txt"
        requirement.write_text(pinned("uv", ROOT / "uv.lock"), encoding="utf-8")
        module: list[str | Path] = [tools / "bin" / "python", "-m"]
        pip = [*module, "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        uv = [
            *module,
            "uv",
            "sync",
            "--quiet",
            "--frozen",
            "--no-install-project",
            "--python",
            python,
            *options,
            *wanted,
        ]
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
    """The exit code of the command; a terminal gets a line every now and then, with the time of all commands so far."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(REPORT_SECONDS):
            sys.stdout.write(f"  … still installing, {time.monotonic() - STARTED:.0f} s\n")
            sys.stdout.flush()

    reporter = threading.Thread(target=report, daemon=True)
    if sys.stdout.isatty():
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
