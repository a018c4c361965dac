"""python -m devstack.sandbox.november7 --port 3003 --faulty"""

from devstack.sandbox.november7 import NO_FAULTS, OBSERVED, StandIn
from devstack.sandbox.process import argument_parser, serve


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argument_parser("november7", 3003, folder="not used: it keeps nothing")
    parser.add_argument("--faulty", action="store_true", help="fails as often as the real one was seen to")
    options = parser.parse_args()
    profile = OBSERVED if options.faulty else NO_FAULTS
    serve(lambda: StandIn(profile=profile, host=options.host, port=options.port), "November 7 stand-in")


if __name__ == "__main__":
    main()
