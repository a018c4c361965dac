"""Whether a release can be made: its tag is that of the version in pyproject.toml, and there is a registry.

python3 .ci/tag.py v1.2.3 registry.example
"""

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def main(tag: str, registry: str) -> int:
    """The exit code."""
    version = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        sys.stderr.write(f"The tag is {tag}, and pyproject.toml has the version {version}.\n")
        return 1
    if not registry:
        sys.stderr.write("The repository's variable IMAGE_REGISTRY names no registry.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
