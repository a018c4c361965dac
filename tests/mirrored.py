"""Whether a provider of posts and comments has what we have, whatever ids it gave."""

import time
from collections import Counter
from typing import Any

import httpx

from lockstep.mirror.tests.support import ours
from tests.support import WAIT_TIMEOUT


def theirs(url: str, collection: str) -> list[dict[str, Any]]:
    """All that the provider shows."""
    rows: list[dict[str, Any]] = httpx.get(f"{url}/{collection}", timeout=30).json()
    return rows


def differences(url: str) -> dict[str, Counter[Any]]:
    """What one side has and the other has not, comments with the title of their post instead of its id."""
    posts, comments = ours()
    their_posts = {row["id"]: row for row in theirs(url, "posts")}
    our_sides = Counter(map(_post, posts.values())) + Counter(_comment(c, posts) for c in comments.values())
    their_sides = Counter(map(_post, their_posts.values()))
    their_sides += Counter(_comment(c, their_posts) for c in theirs(url, "comments"))
    return {"missing there": our_sides - their_sides, "too much there": their_sides - our_sides}


def in_step(url: str) -> bool:
    """Whether there is no difference."""
    return not any(differences(url).values())


def until_in_step(url: str) -> None:
    """Waits for it; fails with the differences."""
    until = time.monotonic() + WAIT_TIMEOUT
    while not in_step(url) and time.monotonic() < until:
        time.sleep(0.1)
    assert in_step(url), differences(url)


def _post(row: dict[str, Any]) -> tuple[Any, ...]:
    return "post", row["userId"], row["title"], row["body"]


def _comment(row: dict[str, Any], posts: dict[int, dict[str, Any]]) -> tuple[Any, ...]:
    return "comment", posts.get(row["postId"], {}).get("title"), row["name"], row["email"], row["body"]
