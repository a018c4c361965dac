"""The states of the shop's things as diagrams (Mermaid) and tables, from machines.py; docs/states.md is made of it."""

from lockstep.shop.machines import MACHINES, Machine

HEADING = """# States

What things of the shop go through. No other change of state is possible, by whatever route or statement: the database
refuses it. Written by `make schema` from `lockstep/shop/machines.py`.
"""


def mermaid(machine: Machine) -> str:
    """The machine as a state diagram."""
    lines = [f"    [*] --> {state}" for state in machine.initial]
    lines += [f"    {one.source} --> {one.target}: {one.name}" for one in machine.transitions]
    lines += [f"    {state} --> [*]" for state in machine.final]
    return "\n".join(["stateDiagram-v2", *lines])


def as_markdown() -> str:
    """docs/states.md."""
    return "\n".join([HEADING, *(_section(machine) for machine in MACHINES)])


def _section(machine: Machine) -> str:
    rows = [f"| {one.name} | {one.source} | {one.target} | {one.meaning} |" for one in machine.transitions]
    table = "\n".join(["| transition | from | to | |", "|---|---|---|---|", *rows])
    return f"## {machine.name.partition(' ')[2].capitalize()}\n\n```mermaid\n{mermaid(machine)}\n```\n\n{table}\n"
