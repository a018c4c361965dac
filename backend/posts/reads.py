"""Queries of the frozen routes, as bundled queries of GETs, or by themselves after a change."""

from lockstep.rest.fastpath import BundledQuery, fetch_one
from lockstep.rest.paging import Counted, PageParams, page_limits
from lockstep.sql import statements

SQL = statements(__file__, "reads")
POSTS = SQL["array"].with_parts(rows=SQL["posts"])
COMMENTS = SQL["comments_of"].with_parts(rows=SQL["comments"])

number_of_posts = Counted(lambda: _number("number_of_posts"))


def posts(params: PageParams) -> BundledQuery:
    """Posts by number, as an array of {userId, id, title, body}, its length, and whether there are more."""
    return BundledQuery(POSTS, {"offset": params.offset, **page_limits(params.limit)})


def comments(post: int | str, params: PageParams) -> BundledQuery:
    """A post's comments by number, as an array of {postId, id, name, email, body}, its length, and whether more follow.

    No row for an unknown post.
    """
    return BundledQuery(COMMENTS, {"post": post, "offset": params.offset, **page_limits(params.limit)})


def number_of_comments(post: int | str) -> int:
    """The number of comments on a post."""
    return _number("number_of_comments", post=post)


def post(number: int | str) -> BundledQuery:
    """A post as {userId, id, title, body}."""
    return BundledQuery(SQL["post"], {"number": number}, reuse_cursor=True)


def comment(post: int | str, number: int | str) -> BundledQuery:
    """A comment as {postId, id, name, email, body}; no row for a comment on another post."""
    return BundledQuery(SQL["comment"], {"post": post, "number": number}, reuse_cursor=True)


def _number(statement: str, **parameters: int | str) -> int:
    found = fetch_one(SQL[statement], parameters)
    return int(found["count"]) if found else 0
