"""python -m devstack.sandbox.jsonplaceholder --port 3001"""

import argparse
from pathlib import Path

from devstack.sandbox.jsonplaceholder import Mode, StandIn
from devstack.sandbox.process import serve


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    asked = _arguments()
    serve(lambda: _stand_in(asked), f"JSONPlaceholder stand-in ({_mode(asked)})")


def _stand_in(asked: argparse.Namespace) -> StandIn:
    return StandIn(
        _mode(asked),
        folder=asked.folder,
        host=asked.host,
        port=asked.port,
        posts=asked.posts,
        comments_per_post=asked.comments_per_post,
        users=asked.users,
    )


def _mode(asked: argparse.Namespace) -> Mode:
    if asked.amnesiac:
        return "amnesiac"
    return "public" if asked.public else "persistent"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack.sandbox.jsonplaceholder")
    parser.add_argument("--port", type=int, default=3001, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--folder", type=Path, help="keeps the data over restarts")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--amnesiac", action="store_true", help="stores no writes, as npm jsonplaceholder")
    kind.add_argument("--public", action="store_true", help="stores none, as jsonplaceholder.typicode.com")
    parser.add_argument("--posts", type=int, default=100)
    parser.add_argument("--comments-per-post", type=int, default=5)
    parser.add_argument("--users", type=int, help="any DELETE removes the posts of all but so many users")
    return parser.parse_args()


if __name__ == "__main__":
    main()
