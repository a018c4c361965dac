"""Named statements in files, and their composition."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep.sql import Statement, identifier, joined, literal, statements

FILE = """-- Comments of the file.

-- name: count
-- Counts rows,
-- é and all.
SELECT count(*), 'é', '{}', '{a, b}'  -- kept
-- not kept
FROM {table} WHERE {include condition};

-- name: condition
{column} = %(value)s AND NOT {include deleted};

-- name: deleted
deleted;
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "things.sql").write_text(FILE, encoding="utf-8")
    return tmp_path / "things.py"


def test_a_statement_has_its_text_and_the_statements_that_it_includes(module: Path):
    things = statements(module, "things")
    assert list(things) == ["count", "condition", "deleted"]
    count = things["count"]
    assert count.parts == {"table", "column"}
    filled = count.with_parts(table=identifier("a b"), column=identifier("t", "c"))
    assert filled == (
        "SELECT count(*), 'é', '{}', '{a, b}'  -- kept\n"
        """FROM "a b" WHERE "t"."c" = %(value)s AND NOT deleted;"""
    )
    assert statements(module, "things") is things


def test_a_statement_file_is_utf_8_whatever_the_locale(module: Path):
    script = "import sys; from lockstep.sql import statements\n"
    script += "sys.stdout.buffer.write(statements(sys.argv[1], 'things')['count'].encode())"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run([sys.executable, "-c", script, module], env=environment, capture_output=True, check=True)
    assert ended.stdout.decode() == statements(module, "things")["count"]


def test_an_unknown_statement_is_refused_with_the_names_that_there_are(module: Path):
    with pytest.raises(KeyError, match=r"things\.sql has no statement 'counts', but: count, condition, deleted"):
        statements(module, "things")["counts"]


def test_parts_that_are_missing_unknown_or_plain_text_are_refused(module: Path):
    count = statements(module, "things")["count"]
    with pytest.raises(ValueError, match=r"things\.sql: count: .*\['column'\] are missing, and \['row'\] are unknown"):
        count.with_parts(table=identifier("t"), row=identifier("r"))
    with pytest.raises(TypeError, match=r"things\.sql: count: .*\['table'\] are no SQL"):
        count.with_parts(table="t; DROP TABLE t", column=identifier("c"))  # type: ignore[arg-type]


def test_parts_are_filled_into_all_statements_of_a_file(module: Path):
    things = statements(module, "things")
    filled = things.with_parts(table=identifier("t"), column=identifier("c"))
    assert [statement.parts for statement in filled.values()] == [frozenset()] * 3
    with pytest.raises(ValueError, match=r"things\.sql: the parts \['row'\] are unknown"):
        things.with_parts(table=identifier("t"), column=identifier("c"), row=identifier("r"))
    with pytest.raises(ValueError, match=r"things\.sql: count: .*\['column'\] are missing"):
        things.with_parts(table=identifier("t"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- name: a\n{include b}\n-- name: b\n{include a}\n", r"wrong\.sql: the statement 'a' includes itself"),
        ("-- name: a\n{include b}\n", r"wrong\.sql: the statement 'b' is included, and missing"),
    ],
)
def test_a_wrong_include_is_refused(module: Path, text: str, message: str):
    (module.parent / "sql" / "wrong.sql").write_text(text)
    with pytest.raises(ValueError, match=message):
        statements(module, "wrong")


def test_identifiers_and_literals_are_quoted():
    assert identifier('a"b') == '"a""b"'
    assert [literal("it's {a}"), literal(5)] == ["'it''s {a}'", "5"]
    assert Statement("SELECT {value}").with_parts(value=literal("{value}")) == "SELECT '{value}'"
    assert joined([identifier("a"), identifier("b")]) == '"a", "b"'
