"""Charts as inline SVG: the geometry is computed here, templates/lockstep/console/tags/ draws it.

No styles and no scripts, so that the strictest policy allows them; colours are those of the text around them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 600, 120
BAR_HEIGHT = 20
DASH = 6.0  # the length of a value that has none beside it

Point = tuple[datetime, float | None]


@dataclass(frozen=True, slots=True)
class LineChart:
    """One line over time. `lines` are its pieces, each the points of a polyline: it has a gap where no value is.

    `latest` is None where the last point has no value.
    """

    label: str
    unit: str
    lines: Sequence[str]
    largest: float
    largest_at: datetime | None
    latest: float | None
    first_at: datetime | None
    last_at: datetime | None
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it is of, its value, and its length from 0 to WIDTH."""

    label: str
    value: float
    length: float


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars below each other."""

    label: str
    unit: str
    bars: Sequence[Bar]


def line_chart(points: Sequence[Point], *, label: str, unit: str = "") -> LineChart:
    """A chart of these points, which are in the order of time. None is a gap."""
    known = [(at, value) for at, value in points if value is not None]
    if not known:
        return LineChart(label, unit, (), 0.0, None, None, None, None)
    first, last = points[0][0], points[-1][0]
    seconds = max((last - first).total_seconds(), 1.0)
    largest_at, largest = max(known, key=lambda point: point[1])
    pieces: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is None:
            pieces.append([])
            continue
        x = (at - first).total_seconds() / seconds * WIDTH
        y = HEIGHT - 2 - (value / largest if largest > 0 else 0.0) * (HEIGHT - 4)
        pieces[-1].append((x, y))
    lines = [_polyline(piece) for piece in pieces if piece]
    return LineChart(label, unit, lines, largest, largest_at, points[-1][1], first, last)


def _polyline(piece: Sequence[tuple[float, float]]) -> str:
    """The points of a piece of a line. A single one is a dash within the chart: a point cannot be seen."""
    if len(piece) == 1:
        ((x, y),) = piece
        begin = min(max(x - DASH / 2, 0.0), WIDTH - DASH)
        piece = [(begin, y), (begin + DASH, y)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)


def bar_chart(values: Sequence[tuple[str, float]], *, label: str, unit: str = "") -> BarChart:
    """A chart of named values, from 0."""
    largest = max((value for _, value in values), default=0.0)
    scale = WIDTH / largest if largest > 0 else 0.0
    return BarChart(label, unit, [Bar(name, value, round(value * scale, 1)) for name, value in values])
