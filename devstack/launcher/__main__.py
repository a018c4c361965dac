"""`python -m devstack.launcher` runs the system; `… exec -- COMMAND` lends COMMAND a throwaway PostgreSQL.

`… exec --test-servers N -- COMMAND` lends it N of them, with a test database in each.
"""

import signal
import sys

from devstack.launcher.errors import LauncherError


def main(arguments: list[str]) -> int:
    """Exit codes: 0 ended by a signal, 1 could not start (a sentence says why), else that of COMMAND."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: sys.exit(0))  # until something runs that needs more care
    try:
        match arguments:
            case []:
                from devstack.launcher.run import run

                return run()
            case ["exec", "--", _, *_]:
                from devstack.launcher.throwaway import run_with_database

                return run_with_database(arguments[2:])
            case ["exec", "--test-servers", servers, "--", _, *_] if servers.isdecimal() and int(servers):
                from devstack.launcher.throwaway import run_with_database

                return run_with_database(arguments[4:], test_servers=int(servers))
            case _:
                sys.stderr.write("usage: python -m devstack.launcher [exec [--test-servers N] -- COMMAND …]\n")
                return 2
    except LauncherError as error:
        sys.stderr.write(f"\nlockstep: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
