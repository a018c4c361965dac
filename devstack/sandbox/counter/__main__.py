"""python -m devstack.sandbox.counter --port 8888"""

import argparse
from pathlib import Path

from devstack.sandbox.counter import StandIn
from devstack.sandbox.process import serve


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m devstack.sandbox.counter")
    parser.add_argument("--port", type=int, default=8888, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--folder", type=Path, help="keeps what was counted over restarts")
    options = parser.parse_args()
    serve(lambda: StandIn(folder=options.folder, host=options.host, port=options.port), "Counter stand-in")


if __name__ == "__main__":
    main()
