"""What the bench reports: a table for people, a file for everything else."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from bench.place import Place, setting
from bench.row import Comparison, Figures, Measured

RESULTS = Path(__file__).parent / "results" / "latest.json"
SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "jit",
)
COLUMNS = ("row", "comparison", "ours", "peer or limit", "ratio", "goal", "met")
WORDS = {True: "yes", False: "NO", None: ""}

Results = dict[str, Measured]


class Report:
    """Prints to one console; without a terminal there are neither colours nor lines."""

    def __init__(self) -> None:
        self.console = Console()
        if not self.console.is_terminal:
            self.console = Console(width=160)

    def progress(self, row: str, step: str, figures: Figures) -> None:
        """One line for each measurement as it ends."""
        values = ", ".join(f"{name} {number(value)}" for name, value in figures.items())
        time = f"{datetime.now():%H:%M:%S}"  # noqa: DTZ005 - for the person at the terminal
        self.console.print(f"{time}  {row}: {step}  {values}", style="dim", highlight=False)

    def table(self, results: Results) -> None:
        """All comparisons, and below them what the figures mean."""
        table = Table(box=box.SIMPLE_HEAD if self.console.is_terminal else None, pad_edge=False)
        for column in COLUMNS:
            table.add_column(column, justify="right" if column in COLUMNS[2:5] else "left", no_wrap=True)
        for name, measured in results.items():
            for comparison in measured.row.comparisons:
                table.add_row(name, *_cells(measured, comparison), style=_style(measured, comparison))
        self.console.print(table)
        for name, measured in results.items():
            self.console.print(f"{name}: {measured.row.note}", style="dim", highlight=False)


def _cells(measured: Measured, comparison: Comparison) -> list[str]:
    ours, peer = measured.median(comparison.ours), measured.median(comparison.peer)
    ratio = f"{measured.ratio(comparison):.2f} x"
    goal = str(comparison.goal or "")
    return [comparison.label, number(ours), number(peer), ratio, goal, WORDS[measured.met(comparison)]]


def _style(measured: Measured, comparison: Comparison) -> str:
    return {True: "green", False: "red", None: ""}[measured.met(comparison)]


def number(value: float) -> str:
    """Three significant digits or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def keep(name: str, measured: Measured, place: Place, runs: int) -> None:
    """Puts all that was measured of a row in the place of what was known of it. The other rows stay as they were."""
    known: dict[str, Any] = orjson.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}
    known[name] = {"machine": machine(place), "rounds": runs, **_row(measured)}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps(known, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def machine(place: Place) -> dict[str, Any]:
    """What a reader must know before comparing with another machine; ratios need it least."""
    with place.connection() as connection:
        settings = {name: setting(connection, name) for name in SETTINGS}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": settings.pop("server_version"),
        "settings": settings,
    }


def _row(measured: Measured) -> dict[str, Any]:
    return {
        "note": measured.row.note,
        "runs": measured.runs,
        "medians": {figure: measured.median(figure) for figure in measured.runs},
        "comparisons": [_comparison(measured, comparison) for comparison in measured.row.comparisons],
    }


def _comparison(measured: Measured, comparison: Comparison) -> dict[str, Any]:
    return {
        "label": comparison.label,
        "ours": comparison.ours,
        "peer": comparison.peer,
        "ratios": measured.ratios(comparison),
        "ratio": measured.ratio(comparison),
        "goal": str(comparison.goal) if comparison.goal else None,
        "met": measured.met(comparison),
    }
