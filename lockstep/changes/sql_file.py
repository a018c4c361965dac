"""Loads named statements from .sql files."""

import re
from functools import cache
from pathlib import Path

NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)


@cache
def load(path: Path) -> dict[str, str]:
    """The statements of one file by name.

    A statement starts with `-- name: <name>` and ends before the next one. Comment lines are removed.
    """
    _, *parts = NAME.split(path.read_text(encoding="utf-8"))
    return {name: COMMENT.sub("", text).strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
