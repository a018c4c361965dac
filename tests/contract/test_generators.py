"""An asynchronous generator that holds something keeps it until the collector of garbage comes, when a loop leaves it.

So what holds a cursor, a connection or a lock is a block (`asynccontextmanager`) that gives an iterator. This finds
every generator that yields from within a block of its own.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.acceptance.running import ROOT

HOLDERS = (ast.With, ast.AsyncWith)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def holding_generators(tree: ast.AST) -> list[str]:
    """The asynchronous generators that yield within `with`, `async with` or `try … finally`."""
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and not _is_a_block(node) and any(_held_yields(node, held=False))
    ]


def _is_a_block(node: ast.AsyncFunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "asynccontextmanager" for one in node.decorator_list)


def _held_yields(node: ast.AST, *, held: bool) -> Iterator[bool]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Yield) and held:
            yield True
        if not isinstance(child, SCOPES):
            holds = isinstance(child, HOLDERS) or (isinstance(child, ast.Try) and bool(child.finalbody))
            yield from _held_yields(child, held=held or holds)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("async def f():\n async with c: yield 1", ["f"]),
        ("async def f():\n try: yield 1\n finally: end()", ["f"]),
        ("async def f():\n with c: g()\n yield 1", []),
        ("@asynccontextmanager\nasync def f():\n async with c: yield 1", []),
        ("def f():\n with c: yield 1", []),
    ],
)
def test_the_check_finds_generators_that_hold_something(text: str, found: list[str]):
    assert holding_generators(ast.parse(text)) == found


def test_no_asynchronous_generator_holds_anything():
    folders = [ROOT / package for package in ("lockstep", "backend", "devstack")]
    files = [path for folder in folders for path in folder.rglob("*.py") if "tests" not in path.parts]
    found = {str(path): names for path in files if (names := holding_generators(ast.parse(path.read_text())))}
    assert found == {}
