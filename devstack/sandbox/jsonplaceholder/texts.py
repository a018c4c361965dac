"""The stand-in's posts and comments: generated, always the same, from a small vocabulary of our own."""

from collections.abc import Iterator
from typing import TypedDict

POSTS_PER_USER = 10

# fmt: off
_WORDS = (
    "anchor", "autumn", "basket", "beacon", "bridge", "butter", "candle", "canvas", "carpet", "cellar",
    "copper", "corner", "cotton", "feather", "fennel", "ferry", "garden", "ginger", "granite", "hammer",
    "harbour", "hazel", "island", "kettle", "ladder", "lantern", "marble", "meadow", "mirror",
    "mustard", "needle", "orchard", "paper", "pebble", "pepper", "pillow", "quarry", "ribbon", "river",
    "saddle", "shadow", "silver", "spindle", "summer", "timber", "tunnel", "velvet", "violet", "walnut",
    "willow", "window", "winter",
)
_NAMES = (
    "Alma", "Bela", "Cem", "Dora", "Emil", "Fen", "Gita", "Hugo", "Ines", "Jori", "Kaia", "Lev", "Mina",
    "Noor", "Otto", "Pia",
)
_HOSTS = (
    "example.com", "example.net", "example.org", "mail.example", "post.example",
)
# fmt: on


class Post(TypedDict):
    """A post as JSONPlaceholder gives it."""

    userId: int
    id: int
    title: str
    body: str


class Comment(TypedDict):
    """A comment as JSONPlaceholder gives it."""

    postId: int
    id: int
    name: str
    email: str
    body: str


def posts(count: int) -> Iterator[Post]:
    """`count` posts, ten to a user."""
    for number in range(1, count + 1):
        yield {
            "userId": (number - 1) // POSTS_PER_USER + 1,
            "id": number,
            "title": _phrase(number, 2 + number % 5),
            "body": "\n".join(_phrase(number * 7 + line, 6) for line in range(1 + number % 4)),
        }


def comments(posts: int, per_post: int) -> Iterator[Comment]:
    """`per_post` comments for each of `posts` posts."""
    for number in range(1, posts * per_post + 1):
        name = _NAMES[number * 5 % len(_NAMES)]
        yield {
            "postId": (number - 1) // per_post + 1,
            "id": number,
            "name": _phrase(number * 3, 3),
            "email": f"{name}.{number}@{_HOSTS[number % len(_HOSTS)]}",
            "body": "\n".join(_phrase(number * 11 + line, 5) for line in range(1 + number % 3)),
        }


def _phrase(seed: int, length: int) -> str:
    size = len(_WORDS)
    start, stride = seed * 31 + seed // size, 1 + seed % (size - 1)
    return " ".join([_WORDS[(start + stride * place) % size] for place in range(length)])
