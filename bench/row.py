"""A row of the bench, and its measurement: all variants in turn, in rounds."""

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from bench.place import Place

Figures = dict[str, float]  # by name; a name says its unit unless the comparison does
Variant = Callable[[], Figures]  # one way to do the work, measured once
Progress = Callable[[str, Figures], None]


@dataclass(frozen=True)
class Goal:
    """A bound for the ratio ours / peer, or for our own figure."""

    bound: Literal["at least", "at most"]
    value: float
    of: Literal["ratio", "ours"] = "ratio"

    def __str__(self) -> str:
        sign = "≥" if self.bound == "at least" else "≤"
        return f"{sign} {self.value:g} x" if self.of == "ratio" else f"{sign} {self.value:,.0f}"

    def is_met(self, ours: float, ratio: float) -> bool:
        """Whether the measured value is on the right side."""
        value = ratio if self.of == "ratio" else ours
        return value >= self.value if self.bound == "at least" else value <= self.value


@dataclass(frozen=True)
class Comparison:
    """One line of the table: two figures of a row. Without a goal it is there to be known."""

    label: str
    ours: str
    peer: str
    goal: Goal | None = None


class Unavailable(Exception):
    """This machine lacks a program that the row stands beside."""


class Row(ABC):
    """One subject. `variants` are measured in their order; `note` says what the figures mean.

    `prepare` sets up what all variants share, and registers its cleanup on `stack`.
    """

    note: ClassVar[str]
    comparisons: ClassVar[tuple[Comparison, ...]]

    def __init__(self, place: Place, stack: ExitStack) -> None:
        self.place = place
        self.stack = stack

    @abstractmethod
    def prepare(self) -> None: ...

    @abstractmethod
    def variants(self) -> dict[str, Variant]: ...


@dataclass
class Measured:
    """All runs of a row: each figure as often as there were rounds."""

    row: type[Row]
    runs: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figures: Figures) -> None:
        """Takes the figures of one run in."""
        for name, value in figures.items():
            self.runs.setdefault(name, []).append(value)

    def median(self, figure: str) -> float:
        """The middle one of all runs."""
        return statistics.median(self.runs[figure])

    def ratios(self, comparison: Comparison) -> list[float]:
        """Ours / peer of each round: what disturbs the machine for longer than a round disturbs both."""
        return [a / b for a, b in zip(self.runs[comparison.ours], self.runs[comparison.peer], strict=True)]

    def ratio(self, comparison: Comparison) -> float:
        """The middle one of the rounds' ratios."""
        return statistics.median(self.ratios(comparison))

    def met(self, comparison: Comparison) -> bool | None:
        """Whether the goal is met; None where there is none."""
        goal = comparison.goal
        return goal.is_met(self.median(comparison.ours), self.ratio(comparison)) if goal else None


def measure(kind: type[Row], place: Place, runs: int, progress: Progress) -> Measured:
    """Measures one row: every variant once in each round, so that A and B always stand side by side."""
    measured = Measured(kind)
    with ExitStack() as stack:
        row = kind(place, stack)
        progress("preparing", {})
        row.prepare()
        for number in range(1, runs + 1):
            for name, variant in row.variants().items():
                figures = variant()
                measured.add(figures)
                progress(f"{number}/{runs} {name}", figures)
    return measured
