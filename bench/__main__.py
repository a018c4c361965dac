"""`python -m bench`: every row side by side with its peer. README.md beside this file says how to read it."""

import argparse
import sys
import time
from functools import partial

from bench import report
from bench.place import NotDurable, Place, open_place
from bench.row import Unavailable, measure
from bench.rows import ROWS, row


def main() -> None:
    """Ends with 0 whether or not the goals are met: the figures are for people to judge."""
    options = _arguments()
    try:
        with open_place(options.scale) as place:
            _run(place, options.rows, options.runs)
    except NotDurable as error:
        sys.exit(str(error))


def _run(place: Place, names: list[str], runs: int) -> None:
    began = time.monotonic()
    output = report.Report()
    results = {}
    for name in names:
        try:
            results[name] = measure(row(name), place, runs, partial(output.progress, name))
            if place.scale == 1:
                report.keep(name, results[name], place, runs)
        except Unavailable as error:
            output.progress(name, f"left out: {error}", {})
    output.table(results)
    kept = "every run is in bench/results/latest.json" if place.scale == 1 else "at this scale nothing is kept"
    output.console.print(f"{time.monotonic() - began:.0f} s; {kept}", style="dim")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=_names, default=list(ROWS), help=f"some of {','.join(ROWS)}")
    parser.add_argument("--runs", type=int, default=3, help="rounds, of which the medians count")
    parser.add_argument("--scale", type=float, default=1.0, help="of the amounts of data; 0.05 only shows that it runs")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(ROWS):
        raise argparse.ArgumentTypeError(f"no such row: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    main()
