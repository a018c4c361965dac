"""`make clean`: back to a bare clone. Needs nothing but Python, for the environment is what it removes."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from devstack.launcher import cluster, home, in_use
from devstack.launcher.environment import ROOT

BUILT = (
    ".venv",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".import_linter_cache",
    ".hypothesis",
    "staticfiles",
    "clients",
)


def main() -> int:
    """1, with nothing removed, while something runs on the data or from the environment."""
    if users := in_use.running(ROOT / ".venv"):
        sys.stderr.write(f"lockstep: in use: {'; '.join(users)}. End it first; nothing was removed.\n")
        return 1
    data = ROOT / ".lockstep"
    if home.is_locked(data / "lock") or cluster.running_postmaster(data / "postgres"):
        sys.stderr.write(f"lockstep: running on {data}{home.holder(data)}. End it first; nothing was removed.\n")
        return 1
    found = [path for path in (*(ROOT / name for name in BUILT), data, *_bytecode()) if path.exists()]
    for path in found:
        shutil.rmtree(path)
        if path.name != "__pycache__":
            sys.stdout.write(f"removed {path.relative_to(ROOT)}{' (with its data)' if path == data else ''}\n")
    if not found:
        sys.stdout.write("nothing to remove\n")
    return 0


def _bytecode() -> Iterator[Path]:
    return (
        path
        for top in ("lockstep", "backend", "devstack", "tests", "bench", "deploy", "examples", ".ci")
        for path in (ROOT / top).rglob("__pycache__")
    )


if __name__ == "__main__":
    sys.exit(main())
