"""SQL as source: statements live in .sql files, each named and described."""

import re
from functools import cache
from pathlib import Path

NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)


@cache
def load(path: Path) -> dict[str, str]:
    """The statements of one file by name.

    A statement starts with `-- name: <name>` and goes on to the next one. Lines of comment are for its readers and
    are left out.
    """
    _, *parts = NAME.split(path.read_text(encoding="utf-8"))
    return {name: COMMENT.sub("", text).strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
