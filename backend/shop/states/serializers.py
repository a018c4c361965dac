"""Serializers of state machines."""

from typing import Any

from rest_framework import serializers

from backend.shop.states import machines
from backend.shop.states.diagrams import mermaid


class TransitionSerializer(serializers.Serializer[Any]):
    """A transition from one state to another."""

    name = serializers.CharField()
    from_state = serializers.CharField()
    to_state = serializers.CharField()
    meaning = serializers.CharField()


class MachineSerializer(serializers.Serializer[Any]):
    """The states and transitions of one kind of object."""

    name = serializers.CharField()
    initial = serializers.ListField(child=serializers.CharField())
    transitions = TransitionSerializer(many=True)
    diagram = serializers.CharField(help_text="The state diagram, in Mermaid's syntax.")
    example = {
        "name": "a bag",
        "initial": ["OPEN"],
        "transitions": [{"name": "order", "from_state": "OPEN", "to_state": "ORDERED", "meaning": "It is ordered."}],
        "diagram": "stateDiagram-v2\n    [*] --> OPEN\n    OPEN --> ORDERED: order\n    ORDERED --> [*]",
    }


def serialize_machine(machine: machines.Machine) -> dict[str, Any]:
    """The representation of a state machine."""
    return {
        "name": machine.name,
        "initial": list(machine.initial),
        "transitions": [
            {"name": one.name, "from_state": one.source, "to_state": one.target, "meaning": one.meaning}
            for one in machine.transitions
        ],
        "diagram": mermaid(machine),
    }
