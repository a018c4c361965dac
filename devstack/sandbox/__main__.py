"""Becomes the stand-in with this name: `python -m devstack.sandbox posts --port 3001`."""

import runpy
import sys

from devstack.sandbox import MODULES


def main() -> None:
    """Runs its module with the other arguments; each explains its own with --help."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in MODULES:
        sys.exit(f"There is no stand-in {name!r}. Name one of: {', '.join(MODULES)}.")
    del sys.argv[1]
    runpy.run_module(MODULES[name], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
