"""Measures how the code reads: lengths of functions and modules, and what its types leave open.

    python -m devstack.readability [--list] [PATH …]

Product code is what is neither a test, a migration nor generated. A PATH (`lockstep/delivery`, or several joined by
commas) is a row of its own beside everything. `--list` names the places behind the counts of the first.
"""

import argparse
import ast
import re
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from devstack.launcher.environment import ROOT

FOLDERS = ("lockstep", "backend", "devstack")
LEFT_OUT = re.compile(r"/tests/|/migrations/|/generated/")
# In a quoted annotation, such as "Field[Any, Any]".
QUOTED_ANY = re.compile(r"(?<=\[)Any(?=[,\]])|(?<=, )Any(?=\])")
SUPPRESSION = re.compile(r"#\s*(type: ignore|noqa)\b")
MAX_NAME = 40  # characters of a row's first cell
MAX_FUNCTION, MAX_MODULE = 31, 350  # lines
MAX_INLINED = 4  # lines of a private function that could as well stand where it is called


@dataclass
class Measured:
    """What was counted in some modules. The places are `file:line text`."""

    modules: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    annotated: int = 0
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        """Counts one module."""
        tree, lines = ast.parse(text), text.splitlines()
        self.modules.append(len(lines))
        if len(lines) > MAX_MODULE:
            self._note("long module", f"{name}:1 {len(lines)} lines")
        self._add_functions(name, tree)
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Name, ast.Constant)):
                continue
            found = node.id == "Any" if isinstance(node, ast.Name) else len(QUOTED_ANY.findall(str(node.value)))
            for _ in range(found):
                self._note("Any", f"{name}:{node.lineno} {lines[node.lineno - 1].strip()}")
        for number, line in enumerate(lines, 1):
            for kind in SUPPRESSION.findall(line):
                self._note(kind, f"{name}:{number} {line.strip()}")

    def _add_functions(self, name: str, tree: ast.Module) -> None:
        read = [node for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute))]
        uses = Counter(node.id if isinstance(node, ast.Name) else node.attr for node in read)
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            self.functions.append(length)
            self.annotated += _is_annotated(node)
            place = f"{name}:{node.lineno} {node.name}, {length} lines"
            if length > MAX_FUNCTION:
                self._note("long function", place)
            private = node.name.startswith("_") and not node.name.endswith("__")
            if private and length <= MAX_INLINED and uses[node.name] == 1:
                self._note("private, used once", place)

    def row(self) -> list[str]:
        """The cells under HEADINGS."""
        counts = [len(self.places.get(kind, ())) for kind in ("Any", "type: ignore", "noqa", "private, used once")]
        return [
            str(len(self.modules)),
            _spread(self.modules),
            str(len(self.functions)),
            _spread(self.functions),
            f"{100 * self.annotated / max(1, len(self.functions)):.1f} %",
            *map(str, counts),
        ]

    def _note(self, kind: str, place: str) -> None:
        self.places.setdefault(kind, []).append(place)


HEADINGS = [
    *("", "modules", "lines: median/p90/max", "functions", "lines: median/p90/max"),
    *("annotated", "Any", "type: ignore", "noqa", "private, once"),
]


def main(words: Sequence[str]) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="devstack.readability", description="Measures how the code reads.", allow_abbrev=False
    )
    parser.add_argument("--list", action="store_true", help="name the places behind the counts of the first PATH")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    options = parser.parse_args(words)
    measured = {"everything": measure(*FOLDERS), **{path: measure(*path.split(",")) for path in options.paths}}
    rows = [HEADINGS, *([name[:MAX_NAME], *one.row()] for name, one in measured.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    if options.list:
        for kind, places in sorted(measured[options.paths[0] if options.paths else "everything"].places.items()):
            sys.stdout.write("".join(f"{kind}: {place}\n" for place in places))


def measure(*paths: str) -> Measured:
    """Of all product code under some folders, or in some files."""
    measured = Measured()
    for path in paths:
        for file in sorted((ROOT / path).rglob("*.py")) if (ROOT / path).is_dir() else [ROOT / path]:
            name = file.relative_to(ROOT).as_posix()
            text = file.read_text(encoding="utf-8")
            if text.strip() and not LEFT_OUT.search(f"/{name}"):
                measured.add(name, text)
    return measured


def _is_annotated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    own = node.args
    arguments = [*own.posonlyargs, *own.args, *own.kwonlyargs, *filter(None, (own.vararg, own.kwarg))]
    return node.returns is not None and all(one.annotation or one.arg in ("self", "cls") for one in arguments)


def _spread(lengths: Sequence[int]) -> str:
    ordered = sorted(lengths) or [0]
    return f"{statistics.median(ordered):.0f} / {ordered[int(len(ordered) * 0.9)]} / {ordered[-1]}"


if __name__ == "__main__":
    main(sys.argv[1:])
