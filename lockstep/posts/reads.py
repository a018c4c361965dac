"""What the frozen routes show. Each is read together with who asks for it, or by itself after a change."""

from pathlib import Path

from lockstep.api.concurrency import Shown, found_or_missing
from lockstep.api.paging import Counted, Stretch, page_limits
from lockstep.api.statements import Reading, Values, row, values
from lockstep.changes.sql_file import load

SQL = {name: text.rstrip(";") for name, text in load(Path(__file__).parent / "sql" / "reads.sql").items()}
POSTS = SQL["array"].replace("{rows}", SQL["posts"])
COMMENTS = SQL["comments_of"].replace("{array}", SQL["array"].replace("{rows}", SQL["comments"]))

number_of_posts = Counted(lambda: _number("number_of_posts"))


def posts(stretch: Stretch) -> Reading:
    """Posts by number, as an array of {userId, id, title, body}, how many, and whether there are more."""
    return Reading(POSTS, {"offset": stretch.offset, **page_limits(stretch.limit)})


def comments(post: int, stretch: Stretch) -> Reading:
    """A post's comments by number, as an array of {postId, id, name, email, body}, how many, and whether more follow.

    No row when there is no such post.
    """
    return Reading(COMMENTS, {"post": post, "offset": stretch.offset, **page_limits(stretch.limit)})


def number_of_comments(post: int) -> int:
    """How many comments a post has."""
    return _number("number_of_comments", post=post)


def post(number: int) -> Reading:
    """{userId, id, title, body}."""
    return Reading(SQL["post"], {"number": number}, is_small=True)


def comment(post: int, number: int) -> Reading:
    """{postId, id, name, email, body}; none when it is another post's."""
    return Reading(SQL["comment"], {"post": post, "number": number}, is_small=True)


def shown(reading: Reading) -> Shown:
    """The post or comment that is to be read. Raises NotFound."""
    return as_shown(values(reading.statement, reading.parameters), reading)


def as_shown(found: Values | None, reading: Reading) -> Shown:
    """The post or comment that was read. Raises NotFound."""
    asked = reading.parameters
    what = f"comment {asked['number']} on post {asked['post']}" if "post" in asked else f"post {asked['number']}"
    return found_or_missing(found, f"There is no {what}.")


def _number(statement: str, **parameters: int) -> int:
    found = row(SQL[statement], parameters)
    return int(found["count"]) if found else 0
