"""State diagrams: the page docs/states.md, and the drawing of one object's way, both made from machines.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from backend.shop.states.machines import MACHINES, Machine

HEADING = """# States

The states and transitions of products, bags and orders. The database refuses any other change of state, for every
writer. Written by `make schema` from `backend/shop/states/machines.py`.
"""
# Of the drawing: a box, and the distances between the left and the upper edges of boxes beside and below each other.
WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 200, 36, 320, 60, 2
NEAR_TARGET = 0.6  # where on an arrow its name is: names of arrows from one box are apart there


@dataclass(frozen=True, slots=True)
class Box:
    """A state, by its upper left corner; `mark` is "current", "visited" or ""."""

    name: str
    x: int
    y: int
    mark: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """The transitions from one state to another, by their names; `mark` is "taken" or ""."""

    label: str
    x1: int
    y1: int
    x2: int
    y2: int
    mark: str

    @property
    def label_x(self) -> int:
        return round(self.x1 + (self.x2 - self.x1) * NEAR_TARGET)

    @property
    def label_y(self) -> int:
        return round(self.y1 + (self.y2 - self.y1) * NEAR_TARGET) - 5


@dataclass(frozen=True, slots=True)
class Drawing:
    """A machine's states, with the way of one object through them."""

    boxes: Sequence[Box]
    arrows: Sequence[Arrow]
    width: int
    height: int
    box_width: int = WIDTH
    box_height: int = HEIGHT


def drawing(machine: Machine, way: Sequence[str]) -> Drawing:
    """The drawing of an object that has had these states, the last one now. No transition may lead back."""
    columns = _columns(machine)
    places = {
        name: (MARGIN + column * ACROSS, MARGIN + row * DOWN)
        for column, names in enumerate(columns)
        for row, name in enumerate(names)
    }
    labels: dict[tuple[str, str], list[str]] = {}
    for one in machine.transitions:
        labels.setdefault((one.source, one.target), []).append(one.name)
    taken = set(pairwise(way))
    arrows = [
        Arrow(
            ", ".join(names),
            places[source][0] + WIDTH,
            places[source][1] + HEIGHT // 2,
            places[target][0],
            places[target][1] + HEIGHT // 2,
            "taken" if (source, target) in taken else "",
        )
        for (source, target), names in labels.items()
    ]
    marks = dict.fromkeys(way, "visited") | dict.fromkeys(way[-1:], "current")
    boxes = [Box(name, x, y, marks.get(name, "")) for name, (x, y) in places.items()]
    width = (len(columns) - 1) * ACROSS + WIDTH + 2 * MARGIN
    height = (max(map(len, columns)) - 1) * DOWN + HEIGHT + 2 * MARGIN
    return Drawing(boxes, arrows, width, height)


def _columns(machine: Machine) -> list[list[str]]:
    """The states by how many transitions lead to them from the first."""
    columns = [[machine.initial[0]]]
    placed = set(columns[0])
    while reached := [
        state
        for state in machine.states
        if state not in placed and any(one.target == state and one.source in columns[-1] for one in machine.transitions)
    ]:
        columns.append(reached)
        placed.update(reached)
    return columns


def as_markdown() -> str:
    """The content of docs/states.md."""
    return "\n".join([HEADING, *(_section(machine) for machine in MACHINES)])


def _section(machine: Machine) -> str:
    rows = [f"| {one.name} | {one.source} | {one.target} | {one.meaning} |" for one in machine.transitions]
    table = "\n".join(["| transition | from | to | |", "|---|---|---|---|", *rows])
    return f"## {machine.name.partition(' ')[2].capitalize()}\n\n```mermaid\n{machine.diagram}\n```\n\n{table}\n"
