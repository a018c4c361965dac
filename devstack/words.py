"""`make lint`: words that product code, templates and the OpenAPI description are kept free of.

They make a reader ask who is meant. The glossary and CONTRIBUTING say what to write instead.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from devstack.launcher.environment import ROOT

# In quotes "nobody" is an account of the operating system.
WORDS = re.compile(r"\b(somebody|whoever|(?<![\"`])nobody|who asks|what is asked|manners|doors?)\b", re.IGNORECASE)
FILES = ("lockstep/**/*.py", "lockstep/**/*.sql", "backend/**/*.py", "backend/**/*.sql", "devstack/**/*.py")
PAGES = ("lockstep/**/*.html", "backend/**/*.html", "docs/openapi.yaml", "docs/problems.md")
LEFT_OUT = re.compile(r"/tests/|/texts\.py$|/generated/|^devstack/words\.py$")  # texts: of stand-ins, which are data


def main() -> int:
    """1 where a word is found, each with its place."""
    found = list(occurrences(ROOT))
    for place in found:
        sys.stderr.write(f"{place}\n")
    return 1 if found else 0


def occurrences(root: Path) -> Iterator[str]:
    """Each line with one of the words: file, number, line."""
    for pattern in (*FILES, *PAGES):
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            if LEFT_OUT.search(name):
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if WORDS.search(line):
                    yield f"{name}:{number}: {line.strip()[:120]}"


if __name__ == "__main__":
    sys.exit(main())
