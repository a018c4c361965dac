"""`make test-engine`: builds the engine's wheel and runs its tests from it, in fresh environments.

    python -m devstack.engine [PYTHON:DJANGO …]

Each environment is of one version of Python and of Django: by default the oldest and the newest that there are here.
The tests are copied out of the tree, so that `lockstep` is what was installed. DATABASE_URL names a PostgreSQL server
with a database for each run, which the tests empty.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from devstack.launcher.cluster import SUPERUSER
from devstack.launcher.environment import ROOT

FOLDER = ROOT / ".lockstep" / "engine"
TESTS = ROOT / "lockstep" / "tests"
OLDEST, NEWEST = ("3.11", "5.2"), ("3.13", "6.0")
TOOLS = ("pytest>=9", "pytest-django>=4.11", "psycopg[binary]>=3.2.2")
KINDS = ("postgresql", "sqlite", "orders", "schema")  # of databases: see project/settings.py


def main(words: Sequence[str]) -> int:
    """The exit code of the first run that failed."""
    wheel = build()
    for python, django in [tuple(word.split(":")) for word in words] or available():
        environment = install(wheel, python, django)
        for kind in KINDS:
            sys.stdout.write(f"== the engine on Python {python}, Django {django}, {kind}\n")
            sys.stdout.flush()
            if code := test(environment, kind):
                return code
    return 0


def available() -> list[tuple[str, str]]:
    """The oldest and the newest versions, as far as this machine has those Pythons."""
    return [(python, django) for python, django in (OLDEST, NEWEST) if interpreter(python)]


def interpreter(version: str) -> str:
    """The Python of this version on the path, or that pyenv has; "" where there is none."""
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
        return found
    if not shutil.which("pyenv"):
        return ""
    listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True).stdout.split()
    matching = [each for each in listed if each.startswith(f"{version}.")]
    if not matching:
        return ""
    prefix = subprocess.run(
        ["pyenv", "prefix", matching[-1]], capture_output=True, text=True, check=True
    ).stdout.strip()
    return f"{prefix}/bin/python"


def build() -> Path:
    """The wheel, built anew."""
    target = FOLDER / "dist"
    shutil.rmtree(target, ignore_errors=True)
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target], ROOT)
    [wheel] = target.glob("*.whl")
    return wheel


def install(wheel: Path, python: str, django: str) -> Path:
    """An environment with the wheel and what tests need; its packages are kept, the wheel is installed anew."""
    environment = FOLDER / f"python{python}-django{django}"
    uv: list[str | Path] = [sys.executable, "-m", "uv", "--quiet"]
    if not (environment / "bin" / "python").exists():
        run([*uv, "venv", "--python", interpreter(python) or python, environment], ROOT)
    inside: list[str | Path] = ["--python", environment / "bin" / "python"]
    run([*uv, "pip", "install", *inside, f"django~={django}.0", *TOOLS, wheel], ROOT)
    run([*uv, "pip", "install", *inside, "--reinstall-package", "django-lockstep", "--no-deps", wheel], ROOT)
    return environment


def test(environment: Path, kind: str) -> int:
    """Runs the tests, in a folder where nothing else is to be imported."""
    folder = FOLDER / "tests"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TESTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "docs" / "tutorial.md", folder)
    url = urlsplit(os.environ["DATABASE_URL"])
    superuser = url._replace(netloc=f"{SUPERUSER}:{url.password}@{url.hostname}:{url.port}").geturl()
    own = {
        "DATABASE": kind,
        "SUPERUSER_URL": superuser,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONPATH": str(folder),
    }
    return run([environment / "bin" / "python", "-m", "pytest", "-q", "-m", kind], folder, own, check=False)


def run(
    command: Sequence[str | Path], folder: Path, settings: Mapping[str, str] | None = None, *, check: bool = True
) -> int:
    """The exit code; with `check` one that is not 0 ends this process."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "DJANGO_SETTINGS_MODULE")
    }
    code = subprocess.run(command, cwd=folder, env=environment | dict(settings or {}), check=False).returncode
    if code and check:
        sys.exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
