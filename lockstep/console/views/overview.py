"""The overview: is everything in step?"""

from dataclasses import dataclass
from typing import Any

from lockstep.console.charts import Point
from lockstep.console.links import letters_address
from lockstep.console.reads import samples
from lockstep.console.reads.overview import Overview, read_overview
from lockstep.console.shared import Shared
from lockstep.console.verdict import judge
from lockstep.console.views.base import ConsoleView


@dataclass(frozen=True, slots=True)
class Shown:
    """What one load of the overview shows."""

    overview: Overview
    rates: list[Point]
    lags: list[Point]


def _read() -> Shown:
    recent = samples.recent()
    return Shown(read_overview(), samples.rates(recent), samples.lags(recent))


shown = Shared(_read)


class OverviewView(ConsoleView):
    """One verdict, and what it follows from."""

    template_name = "lockstep/console/overview.html"
    title = "Overview"
    section = "overview"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        now = shown.get()
        lines = now.overview.lines
        return {
            "overview": now.overview,
            "verdict": judge(now.overview),
            "rates": now.rates,
            "lags": now.lags,
            "waiting": sum(line.undelivered for line in lines),
            "failing": sum(line.failing for line in lines),
            "dead": sum(line.dead for line in lines),
            "lag": max((line.lag(now.overview.at) for line in lines if line.disabled < line.members), default=0.0),
            "has_more_dead": any(line.has_more_dead for line in lines),
            "is_exact": not now.overview.is_cut and all(line.is_exact for line in lines),
            "lines": [
                (line, line.lag(now.overview.at), "" if line.is_family else letters_address(line.name))
                for line in lines
            ],
        }
