"""`make clients`: typed clients of the API, generated from docs/openapi.yaml, for Python and for TypeScript.

    python -m devstack.clients [--output FOLDER] [python] [typescript]

They are not committed: they follow from the OpenAPI document, which is. docs/clients.md says how to use them.
"""

import json
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from devstack.launcher.environment import ROOT

DESCRIPTION = ROOT / "docs" / "openapi.yaml"
FOLDER = ROOT / "clients"
PYTHON_PACKAGE, NPM_PACKAGE = "lockstep_client", "lockstep-client"
PINNED = ROOT / ".ci" / "npm"  # the versions and hashes of the npm packages
NPM = ROOT / ".lockstep" / "npm"
# The generator's own hooks would format code that is not read.
CONFIG = f"post_hooks: []\nproject_name_override: {NPM_PACKAGE}\npackage_name_override: {PYTHON_PACKAGE}\n"


class CannotGenerate(Exception):
    """A client cannot be generated."""


def main(words: Sequence[str]) -> int:
    """0, or 1 with a sentence where a client cannot be generated."""
    parser = ArgumentParser(prog="python -m devstack.clients", allow_abbrev=False)
    parser.add_argument("--output", type=Path, default=FOLDER, help="the folder that gets a folder for each language")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"{' or '.join(GENERATORS)}; both by default")
    options = parser.parse_args(words)
    if unknown := set(options.languages) - set(GENERATORS):
        parser.error(f"no such language: {', '.join(sorted(unknown))}")
    try:
        for language in options.languages or GENERATORS:
            folder = options.output / language
            GENERATORS[language](folder)
            sys.stdout.write(f"{language}: {folder}\n")
    except CannotGenerate as error:
        sys.stderr.write(f"lockstep: {error}\n")
        return 1
    return 0


def generate_python(folder: Path) -> None:
    """Writes the package lockstep_client with its pyproject.toml. Raises CannotGenerate."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        config = Path(temporary) / "config.yaml"
        config.write_text(CONFIG)
        _run(
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "uv", "--overwrite"),
            *("--path", str(DESCRIPTION), "--config", str(config), "--output-path", str(folder), "--fail-on-warning"),
        )


def generate_typescript(folder: Path) -> None:
    """Writes the package lockstep-client: the types of paths and webhooks, for openapi-fetch. Raises CannotGenerate."""
    program = NPM / "node_modules" / ".bin" / "openapi-typescript"
    if not program.exists():
        _install_npm_packages()
    folder.mkdir(parents=True, exist_ok=True)
    _run(str(program), str(DESCRIPTION), "--output", str(folder / "schema.d.ts"))
    versions: dict[str, str] = json.loads((PINNED / "package.json").read_text())["dependencies"]
    package = {
        "name": NPM_PACKAGE,
        "version": "0.0.0",
        "private": True,
        "types": "./schema.d.ts",
        "dependencies": {"openapi-fetch": versions["openapi-fetch"]},
    }
    (folder / "package.json").write_text(json.dumps(package, indent=2) + "\n")


def _install_npm_packages() -> None:
    """Installs what the lock file of CI names."""
    NPM.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PINNED / name, NPM)
    _run("npm", "ci", "--prefix", str(NPM), "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise CannotGenerate(f"{command[0]} is needed and absent; Node.js brings node and npm.") from error
    if done.returncode:
        raise CannotGenerate(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


GENERATORS = {"python": generate_python, "typescript": generate_typescript}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
