"""What the frozen routes show: plain rows, without a model instance for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.api.errors import NotFound
from lockstep.api.paging import Counted
from lockstep.api.statements import Row, row, rows
from lockstep.changes.sql_file import load

SQL = load(Path(__file__).parent / "sql" / "reads.sql")

number_of_posts = Counted(lambda: _number(SQL["number_of_posts"]))


@dataclass(frozen=True, slots=True)
class Shown:
    """An object as it is shown, and the version of its row."""

    fields: Row
    version: int


def posts(limit: int, offset: int) -> list[Row]:
    """Posts by number, as {userId, id, title, body}."""
    return rows(SQL["posts"], [limit, offset])


def comments(post_number: int, limit: int, offset: int) -> list[Row]:
    """A post's comments by number, as {postId, id, name, email, body}. Raises NotFound."""
    found = rows(SQL["comments"], [limit, offset, post_number])
    if not found:
        raise NotFound(f"There is no post {post_number}.")
    return [one for one in found if one["id"] is not None]


def number_of_comments(post_number: int) -> int:
    """How many comments a post has."""
    return _number(SQL["number_of_comments"], post_number)


def post(number: int) -> Shown:
    """{userId, id, title, body}. Raises NotFound."""
    return _shown(row(SQL["post"], [number]), f"There is no post {number}.")


def comment(post_number: int, number: int) -> Shown:
    """{postId, id, name, email, body}. Raises NotFound, also when it is another post's."""
    missing = f"There is no comment {number} on post {post_number}."
    return _shown(row(SQL["comment"], [number, post_number]), missing)


def _shown(found: Row | None, missing: str) -> Shown:
    if found is None:
        raise NotFound(missing)
    return Shown(found, found.pop("version"))


def _number(statement: str, *parameters: Any) -> int:  # noqa: ANN401 - whatever the statement takes
    [found] = rows(statement, parameters)
    return int(found["count"])
