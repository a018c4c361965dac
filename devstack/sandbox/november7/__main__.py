"""python -m devstack.sandbox.november7 --port 3003 --faulty"""

import argparse
from pathlib import Path

from devstack.sandbox.november7 import NO_FAULTS, OBSERVED, StandIn
from devstack.sandbox.process import serve


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m devstack.sandbox.november7")
    parser.add_argument("--port", type=int, default=3003, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--folder", type=Path, help="not used: it keeps nothing")
    parser.add_argument("--faulty", action="store_true", help="fails as often as the real one was seen to")
    options = parser.parse_args()
    profile = OBSERVED if options.faulty else NO_FAULTS
    serve(lambda: StandIn(profile=profile, host=options.host, port=options.port), "November 7 stand-in")


if __name__ == "__main__":
    main()
