"""The page docs/states.md, made from machines.py."""

from backend.shop.states.machines import MACHINES, Machine

HEADING = """# States

The states and transitions of products, bags and orders. The database refuses any other change of state, for every
writer. Written by `make schema` from `backend/shop/states/machines.py`.
"""


def as_markdown() -> str:
    """The content of docs/states.md."""
    return "\n".join([HEADING, *(_section(machine) for machine in MACHINES)])


def _section(machine: Machine) -> str:
    rows = [f"| {one.name} | {one.source} | {one.target} | {one.meaning} |" for one in machine.transitions]
    table = "\n".join(["| transition | from | to | |", "|---|---|---|---|", *rows])
    return f"## {machine.name.partition(' ')[2].capitalize()}\n\n```mermaid\n{machine.diagram}\n```\n\n{table}\n"
