"""What the engine exports: the backend uses nothing else, and the lists, each module's `__all__`, are pinned."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PINNED = Path(__file__).parent / "exported_names.txt"
NOT_PRODUCT = {"tests", "generated"}


def modules(folder: str) -> list[Path]:
    """The product code in a folder of the repository."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return [file for file in files if not NOT_PRODUCT & set(file.parts) and file.name != "conftest.py"]


def is_module(name: str) -> bool:
    """Whether the engine has a module or package of this name."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def used_names(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that a module takes from the engine."""
    tree = ast.parse(source)
    imported: dict[str, str] = {}  # names in the source for modules of the engine
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {one.asname or one.name: one.name for one in node.names if one.name.startswith("lockstep")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lockstep":
            for one in node.names:
                if is_module(inner := f"{node.module}.{one.name}"):
                    imported[one.asname or one.name] = inner
                else:
                    yield str(node.module), one.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (module := imported.get(ast.unparse(node.value))):
            yield module, node.attr


def exported_names() -> dict[str, list[str]]:
    """The names that each module of the engine exports, by module; those without `__all__` export none."""
    named = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in modules("lockstep")
    }
    public = [name for name, file in named.items() if "\n__all__ = " in file.read_text(encoding="utf-8")]
    return {name: sorted(import_module(name).__all__) for name in public}


@pytest.mark.parametrize("file", modules("backend"), ids=lambda file: str(file.relative_to(ROOT)))
def test_backend_uses_exported_names_only(file: Path):
    exported = exported_names()
    internal = {
        f"{module}.{name}"
        for module, name in used_names(file.read_text(encoding="utf-8"))
        if name not in exported.get(module, [])
    }
    assert not internal, f"not exported; add what is to be kept to `__all__` of its module: {sorted(internal)}"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from lockstep.sql import COMMENT", ("lockstep.sql", "COMMENT")),
        ("from lockstep import sql\nsql.COMMENT", ("lockstep.sql", "COMMENT")),
        ("from lockstep import sql as s\ns.COMMENT", ("lockstep.sql", "COMMENT")),
        ("import lockstep.sql\nlockstep.sql.COMMENT", ("lockstep.sql", "COMMENT")),
    ],
)
def test_each_way_of_using_a_name_is_found(source: str, name: tuple[str, str]):
    assert name in set(used_names(source))


def test_exported_names_exist_and_are_pinned():
    exported = exported_names()
    missing = [
        f"{module}.{name}"
        for module, names in exported.items()
        for name in names
        if not hasattr(import_module(module), name)
    ]
    assert not missing
    lines = [f"{module}: {', '.join(names)}" for module, names in sorted(exported.items())]
    assert PINNED.read_text(encoding="utf-8").splitlines() == lines, (
        f"what the engine exports has changed: if that is meant, say so in CHANGELOG.md and in {PINNED.name}"
    )
