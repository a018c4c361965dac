"""python -m devstack.sandbox.jsonplaceholder --port 3001"""

import argparse

from devstack.sandbox.jsonplaceholder import Mode, StandIn
from devstack.sandbox.process import argument_parser, serve


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    options = _arguments()
    serve(lambda: _stand_in(options), f"JSONPlaceholder stand-in ({_mode(options)})")


def _stand_in(options: argparse.Namespace) -> StandIn:
    return StandIn(
        _mode(options),
        folder=options.folder,
        host=options.host,
        port=options.port,
        posts=options.posts,
        comments_per_post=options.comments_per_post,
        users=options.users,
    )


def _mode(options: argparse.Namespace) -> Mode:
    if options.amnesiac:
        return "amnesiac"
    return "public" if options.public else "persistent"


def _arguments() -> argparse.Namespace:
    parser = argument_parser("jsonplaceholder", 3001, folder="keeps the data over restarts")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--amnesiac", action="store_true", help="stores no writes, as npm jsonplaceholder")
    kind.add_argument("--public", action="store_true", help="stores none, as jsonplaceholder.typicode.com")
    parser.add_argument("--posts", type=int, default=100)
    parser.add_argument("--comments-per-post", type=int, default=5)
    parser.add_argument("--users", type=int, help="any DELETE removes the posts of all but so many users")
    return parser.parse_args()


if __name__ == "__main__":
    main()
