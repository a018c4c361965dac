"""SQL: named statements in files, and their composition.

A module keeps its statements in `sql/<file>.sql` beside it, and loads them by `SQL = statements(__file__, "<file>")`:

    -- name: claim
    -- Claims due lanes.
    SELECT … FROM {table} …;

`{table}` is a part, which `SQL["claim"].with_parts(table=identifier("lane"))` fills in, and `{include due}` is another
statement of the file. Other braces, such as '{}', are SQL.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path

__all__ = ["Statement", "identifier", "joined", "literal", "statements"]

NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
MAX_IDENTIFIERS = 10_000  # that are kept
PART = re.compile(r"\{([a-z_]+)\}")
INCLUDE = re.compile(r"\{include (\w+)\}")


class Statement(str):
    """A statement or a part of one, as the text that a cursor executes.

    The constructor is for literal text, and for text that is SQL already, such as an identifier from PostgreSQL's
    catalogue. Names and values become Statements by `identifier` and `literal`.
    """

    __slots__ = ("source",)
    source: str  # its file and name, for errors

    def __new__(cls, text: str, *, source: str = "SQL") -> "Statement":
        statement = super().__new__(cls, text)
        statement.source = source
        return statement

    @property
    def parts(self) -> frozenset[str]:
        """The names of the parts that are not filled in."""
        return frozenset(PART.findall(self))

    def with_parts(self, **parts: "Statement") -> "Statement":
        """The statement with all its parts filled in. Raises ValueError for a missing and an unknown part.

        A part loses the `;` at its end: a statement that needs it there has one after the part.
        """
        if parts.keys() != self.parts:
            missing, unknown = sorted(self.parts - parts.keys()), sorted(parts.keys() - self.parts)
            raise ValueError(f"{self.source}: the parts {missing} are missing, and {unknown} are unknown.")
        if wrong := sorted(name for name, part in parts.items() if not isinstance(part, Statement)):
            raise TypeError(f"{self.source}: the parts {wrong} are no SQL: use identifier, literal or Statement.")
        text = PART.sub(lambda match: parts[match[1]].removesuffix(";"), self)
        return Statement(text, source=self.source)


class Statements(dict[str, Statement]):
    """The statements of one file by name."""

    def __init__(self, source: str, statements: Mapping[str, Statement]) -> None:
        super().__init__(statements)
        self.source = source

    def __missing__(self, name: str) -> Statement:
        raise KeyError(f"{self.source} has no statement {name!r}, but: {', '.join(self)}")

    def with_parts(self, **parts: Statement) -> "Statements":
        """The statements, each with those of these parts that it has. Raises ValueError as for one statement."""
        if unknown := parts.keys() - frozenset().union(*(statement.parts for statement in self.values())):
            raise ValueError(f"{self.source}: the parts {sorted(unknown)} are unknown.")
        filled = {
            name: statement.with_parts(**{part: text for part, text in parts.items() if part in statement.parts})
            for name, statement in self.items()
        }
        return Statements(self.source, filled)


def statements(module: str | Path, file: str) -> Statements:
    """The statements of `sql/<file>.sql` beside a module; `module` is its `__file__`."""
    return _load(Path(module).parent / "sql" / f"{file}.sql")


@cache
def _load(path: Path) -> Statements:
    _, *named = NAME.split(path.read_text(encoding="utf-8"))
    bare = {name: COMMENT.sub("", text).strip() for name, text in zip(named[::2], named[1::2], strict=True)}
    complete = {name: Statement(_complete(path, bare, name), source=f"{path}: {name}") for name in bare}
    return Statements(str(path), complete)


def _complete(path: Path, bare: Mapping[str, str], name: str, within: tuple[str, ...] = ()) -> str:
    """The text of a statement, with those that it includes, each without the `;` at its end."""
    if name in within or name not in bare:
        what = "includes itself" if name in within else "is included, and missing"
        raise ValueError(f"{path}: the statement {name!r} {what}.")
    include = lambda match: _complete(path, bare, match[1], (*within, name)).removesuffix(";")  # noqa: E731
    return INCLUDE.sub(include, bare[name])


@lru_cache(maxsize=MAX_IDENTIFIERS)  # each takes 10 µs
def identifier(*names: str) -> Statement:
    """A quoted identifier; several names are a qualified one."""
    from psycopg.sql import Identifier  # a project on another database has no psycopg

    return Statement(Identifier(*names).as_string(None))


def literal(value: str | int) -> Statement:
    """A quoted literal."""
    from psycopg.sql import Literal

    return Statement(Literal(value).as_string(None))


def joined(parts: Iterable[Statement], separator: str = ", ") -> Statement:
    """The parts, one after the other."""
    return Statement(separator.join(parts))
