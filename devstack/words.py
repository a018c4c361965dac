"""`make lint`: words that product code, templates, the OpenAPI description and the names of tests must not contain.

They do not name their subject. The glossary and CONTRIBUTING say what to write instead.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from devstack.launcher.environment import ROOT

# In quotes "nobody" is an account of the operating system.
WORDS = re.compile(r"\b(somebody|whoever|(?<![\"`])nobody|who asks|what is asked|manners|doors?)\b", re.IGNORECASE)
NAMES = re.compile(r"def test_(?:\w*_)?(?:somebody|whoever|nobody|who_asks|what_is_asked|manners|doors?)(?:_|\b)")
FILES = ("lockstep/**/*.py", "lockstep/**/*.sql", "backend/**/*.py", "backend/**/*.sql", "devstack/**/*.py")
PAGES = ("lockstep/**/*.html", "backend/**/*.html", "docs/openapi.yaml", "docs/problems.md")
TESTS = ("lockstep/**/test_*.py", "backend/**/test_*.py", "devstack/**/test_*.py", "tests/**/test_*.py")
LEFT_OUT = re.compile(r"/tests/|/texts\.py$|/generated/|^devstack/words\.py$")  # texts: of stand-ins, which are data


def main() -> int:
    """1 where a word is found, each with its place."""
    found = list(occurrences(ROOT))
    for place in found:
        sys.stderr.write(f"{place}\n")
    return 1 if found else 0


def occurrences(root: Path) -> Iterator[str]:
    """Each line with one of the words: file, number, line."""
    for patterns, words, left_out in ((FILES + PAGES, WORDS, LEFT_OUT), (TESTS, NAMES, None)):
        for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
            name = path.relative_to(root).as_posix()
            if left_out and left_out.search(name):
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if words.search(line):
                    yield f"{name}:{number}: {line.strip()[:120]}"


if __name__ == "__main__":
    sys.exit(main())
