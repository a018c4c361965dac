"""A newcomer's walk through a request: how often it moves between our files, and how many of our functions it calls.

    python -m bench.walk            # a table; --steps prints each call

One GET of a post, one POST of a post and one POST of an order, by Django's test client in this process, with the fast
path off. A move is a call of a function of ours in another file than the call before; comprehensions and generators are
parts of their function. What passes unseen below a statement and a log line (BELOW) is in the figures in brackets only.
"""

import argparse
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from bench.place import open_place
from bench.processes import ROOT

OURS = tuple(f"{ROOT / folder}/" for folder in ("lockstep", "backend"))
# The connection's deadlines, what Django wraps around each statement, the format of log lines, and the look-ups of a
# setting and of a statement. What these call is below, too.
BELOW = (
    "lockstep/changes/connecting.py",
    "lockstep/changes/statements.py",
    "backend/config/logs.py",
    "lockstep/conf.py",
    "lockstep/sql.py",
)
WARM_UP = 5  # requests before the traced one, so that caches are filled

Call = tuple[str, str]  # file, function


@dataclass
class Walk:
    """The calls of functions of ours during one request."""

    every: list[Call] = field(default_factory=list)
    seen: list[Call] = field(default_factory=list)  # without BELOW

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        """Records a call: a function for sys.setprofile."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(OURS) or code.co_name.startswith("<"):
            return
        call = (str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname)
        self.every.append(call)
        if not any(one.f_code.co_filename.endswith(BELOW) for one in (frame, frame.f_back) if one):
            self.seen.append(call)


def walk(request: Callable[[], None]) -> Walk:
    """Traces one request."""
    for _ in range(WARM_UP):
        request()
    found = Walk()
    sys.setprofile(found.profile)
    try:
        request()
    finally:
        sys.setprofile(None)
    return found


def moves(calls: list[Call]) -> int:
    """How many calls are in another file than the one before."""
    return sum(file != before for (file, _), (before, _) in zip(calls[1:], calls[:-1], strict=True))


def main() -> None:
    """Prints the three walks."""
    parser = argparse.ArgumentParser(prog="python -m bench.walk", description=__doc__, allow_abbrev=False)
    parser.add_argument("--steps", action="store_true", help="print each call")
    options = parser.parse_args()
    with open_place(0.01):
        walks = traced()
    for name, one in walks.items():
        files = len({file for file, _ in one.seen})
        sys.stdout.write(f"{name:16} {moves(one.seen):3} moves ({moves(one.every)}),")
        sys.stdout.write(f" {len(one.seen)} calls ({len(one.every)}) in {files} files\n")
        for file, function in one.seen if options.steps else ():
            sys.stdout.write(f"    {file}:{function}\n")


def traced() -> dict[str, Walk]:
    """The three walks, in the database of the settings."""
    from django.conf import settings
    from django.test.utils import override_settings

    without_fastpath = {**settings.LOCKSTEP, "REST_FASTPATH": False}
    with override_settings(LOCKSTEP=without_fastpath, SECURE_SSL_REDIRECT=False):
        return {name: walk(request) for name, request in _requests().items()}


def _requests() -> dict[str, Callable[[], None]]:
    from django.test import Client

    from backend.accounts.models import User
    from backend.accounts.sessions import open_pair
    from backend.posts.models import Post
    from backend.shop.models import Product

    user = User.objects.create_user("walker", password=secrets.token_urlsafe())
    post = Post.objects.create(title="A post", body="Its body")
    product = Product.objects.create(name="A product", price="1.00", stock=100, owner=user)
    client = Client(SERVER_NAME="127.0.0.1", headers={"authorization": f"Bearer {open_pair(user).access}"})

    def read() -> None:
        _expect(200, client.get(f"/fakeapi/v1/posts/{post.number}/").status_code)

    def create() -> None:
        body = {"title": "A title", "body": "A body"}
        _expect(201, client.post("/fakeapi/v1/posts/create/", body, content_type="application/json").status_code)

    def order() -> None:
        body = {"lines": [{"product": product.number, "quantity": 1}]}
        _expect(201, client.post("/api/v1/orders/", body, content_type="application/json").status_code)

    return {"GET of a post": read, "POST of a post": create, "POST of an order": order}


def _expect(expected: int, status: int) -> None:
    if status != expected:
        raise ValueError(f"The response was {status}, not {expected}.")


if __name__ == "__main__":
    main()
