"""SQL is in files or plain literals, composed in one way (lockstep/sql.py), and every named statement is used."""

import ast
import importlib
import re
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lockstep.sql import Statement, Statements, statements
from tests.acceptance.running import ROOT

COMPOSER = ROOT / "lockstep" / "sql.py"
# How a statement, a part of a trigger's body or an operation on it begins. Upper case, unlike prose.
SQL = re.compile(
    r"\s*(?:SELECT|INSERT INTO|UPDATE \S+ SET|DELETE FROM|WITH \S+ AS|CREATE|ALTER|DROP|TRUNCATE|COPY|LOCK TABLE"
    r"|COMMENT ON|GRANT|REVOKE|LISTEN|NOTIFY|SET (?:LOCAL|CONSTRAINTS|\w+ (?:=|TO))|PERFORM|RAISE|EXECUTE|CASE WHEN)\b"
)
GENERATED = {"tests", "generated", "migrations"}
CHANGES_TEXT = {"format", "format_map", "replace", "join", "split", "partition", "rstrip", "removesuffix"}
LOADS = {"statements", "with_parts", "Statement", "joined"}
# The statements of these files are executed one after the other.
EXECUTED_WHOLE = {
    ROOT / "lockstep" / "changes" / "sql" / "schema.sql",
    ROOT / "lockstep" / "delivery" / "sql" / "schema.sql",
    ROOT / "backend" / "entities" / "sql" / "folding.sql",
}


def modules(*, without: Collection[str] = GENERATED) -> list[Path]:
    """The modules of the engine and the backend, without those in folders of these names."""
    found = [file for top in ("lockstep", "backend") for file in sorted((ROOT / top).rglob("*.py"))]
    return [file for file in found if not {*without} & set(file.relative_to(ROOT).parts)]


class Scope:
    """A statement of a module with the names of the loaded and composed statements that it can see."""

    def __init__(self, tree: ast.stmt, module: ast.Module) -> None:
        self.documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        self.named = {name for node in (*module.body, *ast.walk(tree)) for name in _named(node)}

    def is_sql(self, node: ast.AST) -> bool:
        """Whether an expression is, or begins with, SQL."""
        match node:
            case ast.Constant(value=str(text)):
                return bool(SQL.match(text))
            case ast.JoinedStr(values=[ast.FormattedValue(value=first) | first, *_]):
                return self.is_sql(first)
            case ast.BinOp(left=left, right=right, op=ast.Add() | ast.Mod()):
                return self.is_sql(left) or self.is_sql(right)
            case ast.Subscript(value=ast.Name(id=name)) | ast.Name(id=name):
                return name in self.named
            case ast.Call(func=ast.Attribute(value=value, attr="with_parts")):
                return self.is_sql(value)
        return False

    def is_text(self, node: ast.AST) -> bool:
        """Whether it is SQL of several lines in the code."""
        is_long = isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value
        return is_long and id(node) not in self.documentation and self.is_sql(node)


def _named(node: ast.AST) -> list[str]:
    """The names that an assignment gives to statements."""
    if not isinstance(node, ast.Assign) or _called(node.value) not in LOADS:
        return []
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _called(node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name
    return ""


def _is_composed(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr | ast.BinOp) or _called(node) in CHANGES_TEXT


def _is_of_psycopg(node: ast.AST) -> bool:
    match node:
        case ast.ImportFrom(module="psycopg.sql") | ast.ImportFrom(module="psycopg", names=[ast.alias(name="sql")]):
            return True
    return False


OBJECTIONS: dict[str, Callable[[Any, Scope], bool]] = {
    "an f-string is SQL": lambda node, scope: isinstance(node, ast.JoinedStr) and scope.is_sql(node),
    "an operator composes SQL": lambda node, scope: isinstance(node, ast.BinOp) and scope.is_sql(node),
    "a method changes SQL": lambda node, scope: (
        isinstance(node, ast.Call) and _called(node) in CHANGES_TEXT and scope.is_sql(getattr(node.func, "value", node))
    ),
    "a Statement of a composed text": lambda node, scope: (
        _called(node) == "Statement" and any(_is_composed(each) for each in node.args)
    ),
    "SQL of several lines belongs into a file": lambda node, scope: scope.is_text(node),
    "a trigger's body belongs into a file": lambda node, scope: (
        isinstance(node, ast.keyword) and node.arg == "func" and isinstance(node.value, ast.Constant)
    ),
    "psycopg.sql instead of lockstep.sql": lambda node, scope: _is_of_psycopg(node),
}


def objections(source: str) -> Iterator[str]:
    """The places where a module composes SQL in another way."""
    module = ast.parse(source)
    for statement in module.body:
        scope = Scope(statement, module)
        for node in ast.walk(statement):
            for reason, applies in OBJECTIONS.items():
                if applies(node, scope):
                    yield f"line {getattr(node, 'lineno', '?')}: {reason}"


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_sql_is_composed_by_statements(file: Path):
    if file != COMPOSER:
        assert list(objections(file.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        'cursor.execute(f"SELECT {column}")',
        'cursor.execute("DELETE FROM %s" % table)',
        'cursor.execute("SELECT {}".format(column))',
        'cursor.execute("DROP TABLE " + table)',
        'SQL = statements(__file__, "a")\ncursor.execute(SQL["b"].replace("{c}", c))',
        'SQL = statements(__file__, "a")\ncursor.execute(f"{SQL[\'b\']} LIMIT 1")',
        'SQL = statements(__file__, "a")\nB = SQL["b"].with_parts(c=c)\ncursor.execute(B + " LIMIT 1")',
        'Statement(f"a.{column}")',
        'Statement("a.{}".format(column))',
        'FUNC = """\nPERFORM lock();\nRETURN NEW;\n"""',
        "from psycopg.sql import Identifier",
        "from psycopg import sql",
    ],
)
def test_sql_that_is_composed_in_another_way_is_found(source: str):
    assert list(objections(source))


@pytest.mark.parametrize(
    "source",
    [
        'cursor.execute("SELECT now()")',
        'SQL = statements(__file__, "a")\ncursor.execute(SQL["b"].with_parts(c=identifier(c)))',
        'raise ValueError(f"DELETE {path} is refused.")',
        'Statement("{row}.{column}").with_parts(row=Statement(row), column=identifier(column))',
    ],
)
def test_sql_that_is_composed_by_statements_is_not_objected_to(source: str):
    assert list(objections(source)) == []


FILES = sorted(file for top in ("lockstep", "backend") for file in (ROOT / top).rglob("sql/*.sql"))


@cache
def _sources() -> dict[Path, str]:
    return {module: module.read_text() for module in modules(without={"tests"})}


@cache
def _constants(module: Path) -> set[object]:
    return {node.value for node in ast.walk(ast.parse(_sources()[module])) if isinstance(node, ast.Constant)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_named_statement_is_used(file: Path):
    text, loaded = file.read_text(), statements(file.parent, file.stem)
    assert text.count("-- name: ") == len(loaded), "a name twice"
    used = set(re.findall(r"\{include (\w+)\}", text))
    for module, source in _sources().items():
        if module.is_relative_to(file.parents[1]) or re.search(rf'statements\([^)]*"{file.stem}"\)', source):
            used |= _constants(module)
    assert file in EXECUTED_WHOLE or set(loaded) - used == set()


LOADS_A_FILE = re.compile(r"^[A-Z_]+ = (?:sql\.)?statements\(", re.MULTILINE)
LOADING = [file for file in modules() if LOADS_A_FILE.search(file.read_text())]


@pytest.mark.parametrize("file", LOADING, ids=lambda file: str(file.relative_to(ROOT)))
def test_statements_and_parts_that_a_module_names_exist(file: Path):
    module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))

    def statement(node: ast.AST) -> Statement | None:
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))):
                loaded = getattr(module, name, None)
                return loaded[key] if isinstance(loaded, Statements) else None
        return None

    for node in ast.walk(ast.parse(file.read_text())):
        statement(node)  # which raises KeyError
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr="with_parts")) if one := statement(value):
                parts = {keyword.arg for keyword in node.keywords}
                assert None in parts or parts == one.parts, one.source
            case ast.Call(args=[first, *_]) if one := statement(first):
                is_executed = _called(node) == "execute" or _called(node).startswith("fetch_")
                assert not (is_executed and one.parts), f"{one.source} is executed without {set(one.parts)}"
