"""The samples of the last hour, and their recording (sql/samples.sql)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from lockstep import console
from lockstep.conf import log_connection
from lockstep.console.charts import Point
from lockstep.console.reads.overview import SAMPLE, read_overview
from lockstep.sql import statements

SQL = statements(console.__file__, "samples")

KEPT: dict[str, Any] = {"kept": timedelta(days=1)}  # the stubs know no intervals
SPAN = timedelta(hours=1)
GAP = timedelta(minutes=3)  # between two samples: no worker measured


@dataclass(frozen=True, slots=True)
class SampleRow:
    """What waited for one subscription, or for all (name ""), at one minute."""

    at: datetime
    position: int | None
    waiting: int
    failing: int
    dead: int
    lag: float


def record() -> None:
    """Records one sample for the log and one for each line of the overview, and removes old ones."""
    overview = read_overview(SAMPLE)
    lines = overview.lines
    lags = [line.lag(overview.at) for line in lines if line.disabled < line.members]
    waiting = [line.undelivered for line in lines]
    failing, dead = [line.failing for line in lines], [line.dead for line in lines]
    rows: dict[str, Any] = {
        "names": ["", *(line.name for line in lines)],
        "positions": [overview.log.last_seq, *(None for _ in lines)],
        "waiting": [sum(waiting), *waiting],
        "failing": [sum(failing), *failing],
        "dead": [sum(dead), *dead],
        "lags": [max(lags, default=0.0), *(line.lag(overview.at) for line in lines)],
    }
    with log_connection().cursor() as cursor:
        cursor.execute(SQL["record"], rows)
        cursor.execute(SQL["remove_old"], KEPT)


def recent(name: str = "") -> list[SampleRow]:
    """The samples of the last hour of a subscription or family, or of the log, oldest first."""
    chosen: dict[str, Any] = {"name": name, "span": SPAN}
    with log_connection().cursor() as cursor:
        cursor.execute(SQL["recent"], chosen)
        return [SampleRow(*row) for row in cursor.fetchall()]


def lags(samples: Sequence[SampleRow]) -> list[Point]:
    """The lag over time, with a gap where nothing was measured."""
    points: list[Point] = []
    for sample in samples:
        if points and sample.at - points[-1][0] > GAP:
            points.append((points[-1][0], None))
        points.append((sample.at, sample.lag))
    return points


def rates(samples: Sequence[SampleRow]) -> list[Point]:
    """Changes a second between each two samples of the log, with a gap where nothing was measured."""
    points: list[Point] = []
    for before, after in pairwise(samples):
        seconds = (after.at - before.at).total_seconds()
        if before.position is None or after.position is None or after.at - before.at > GAP:
            points.append((after.at, None))
        else:
            points.append((after.at, max(after.position - before.position, 0) / seconds))
    return points
