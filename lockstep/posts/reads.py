"""What the frozen routes show, written by PostgreSQL: a page costs no model instances and no JSON in Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.api.errors import NotFound
from lockstep.api.paging import Counted, Page
from lockstep.api.statements import row, rows
from lockstep.changes.sql_file import load

SQL = load(Path(__file__).parent / "sql" / "reads.sql")

number_of_posts = Counted(lambda: _number(SQL["number_of_posts"]))


@dataclass(frozen=True, slots=True)
class Shown:
    """An object as JSON, and the version of its row."""

    body: bytes
    version: int


def posts_page(limit: int, offset: int) -> Page:
    """Posts by number, as [{userId, id, title, body}]."""
    [found] = rows(SQL["posts"], [limit, offset])
    return _page(found)


def comments_page(post_number: int, limit: int, offset: int) -> Page:
    """A post's comments by number, as [{postId, id, name, email, body}]. Raises NotFound."""
    found = row(SQL["comments"], [limit, offset, post_number])
    if found is None:
        raise NotFound(f"There is no post {post_number}.")
    return _page(found)


def number_of_comments(post_number: int) -> int:
    """How many comments a post has."""
    return _number(SQL["number_of_comments"], post_number)


def post(number: int) -> Shown:
    """{userId, id, title, body}. Raises NotFound."""
    found = row(SQL["post"], [number])
    if found is None:
        raise NotFound(f"There is no post {number}.")
    return _shown(found)


def comment(post_number: int, number: int) -> Shown:
    """{postId, id, name, email, body}. Raises NotFound, also when it is another post's."""
    found = row(SQL["comment"], [number, post_number])
    if found is None:
        raise NotFound(f"There is no comment {number} on post {post_number}.")
    return _shown(found)


def _shown(found: tuple[Any, ...]) -> Shown:
    return Shown(found[0].encode(), found[1])


def _page(found: tuple[Any, ...]) -> Page:
    return Page(found[0].encode(), found[1])


def _number(statement: str, *parameters: int) -> int:
    [[number]] = rows(statement, parameters)
    return int(number)
