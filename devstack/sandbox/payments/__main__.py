"""python -m devstack.sandbox.payments --port 3002"""

import argparse

from devstack.sandbox.payments import Delays, StandIn
from devstack.sandbox.process import argument_parser, serve


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    options = _arguments()
    delays = Delays(options.silence, options.hidden, options.undecided)
    serve(
        lambda: StandIn(delays=delays, folder=options.folder, host=options.host, port=options.port),
        "Payment gateway stand-in",
    )


def _arguments() -> argparse.Namespace:
    usual = Delays()
    parser = argument_parser("payments", 3002, folder="keeps tokens and charges over restarts")
    parser.add_argument("--silence", type=float, default=usual.silence, help="seconds without an answer, then the end")
    parser.add_argument("--hidden", type=float, default=usual.hidden, help="seconds until a late charge is found")
    parser.add_argument("--undecided", type=float, default=usual.undecided, help="seconds until it is decided")
    return parser.parse_args()


if __name__ == "__main__":
    main()
