"""python -m devstack.sandbox.counter --port 8888"""

from devstack.sandbox.counter import StandIn
from devstack.sandbox.process import argument_parser, serve


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argument_parser("counter", 8888, folder="keeps what was counted over restarts")
    options = parser.parse_args()
    serve(lambda: StandIn(folder=options.folder, host=options.host, port=options.port), "Counter stand-in")


if __name__ == "__main__":
    main()
